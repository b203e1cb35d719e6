import DFSCore
import DFSKeyValue

/// What taking leadership of a namespace gives: the first transaction, which raises the term, is durable.
struct Leadership {
  var configuration: NamespaceConfiguration
  var cluster: ClusterRecord
  var mark: RoundMark
  var state: StateRecord
  var clock: ClusterClock
  var openUploads: [UploadID]
  /// What raised the term.
  var batch: LedgerBatch

  /// A batch of the leader before may still arrive between catching up and the first transaction: then once
  /// more.
  private static let attempts = 5

  static func take(
    _ store: any OrderedStore, _ ledger: any Ledger, _ configuration: NamespaceConfiguration
  ) throws -> Leadership {
    var attempt = 1
    while true {
      do {
        try ledger.catchUp(store)
        return try raiseTerm(store, ledger, configuration)
      } catch let error as DFSError where error.code == .stale && attempt < attempts { attempt += 1 }
    }
  }

  private static func raiseTerm(
    _ store: any OrderedStore, _ ledger: any Ledger, _ configuration: NamespaceConfiguration
  ) throws -> Leadership {
    let found = try read(store)
    let previous = found?.mark ?? .none
    let time = found?.state.time ?? ClusterTime(rawValue: configuration.wallTime().rawValue / 1_000_000)
    let state = found?.state ?? StateRecord(time: time)
    let cluster =
      found?.cluster ?? ClusterRecord(cluster: ClusterID(rawValue: configuration.randomNumber()))
    let clock = ClusterClock(from: time, elapsed: configuration.elapsed)
    let context = RoundContext(
      now: time, wallTime: configuration.wallTime(), configuration: configuration,
      incarnation: cluster.incarnation, limits: ledger.limits, isLeaseOver: { _ in false })
    var round = Round(
      over: store, previous: previous, term: previous.term + 1, state: state, context: context)
    if found == nil { round.create(cluster) }
    guard let sealed = try round.seal(isForced: true) else {
      preconditionFailure("a forced round has a batch")
    }
    try ledger.settle(sealed.batch, in: store, derived: sealed.derived)
    return Leadership(
      configuration: configuration, cluster: cluster, mark: sealed.batch.mark, state: sealed.state,
      clock: clock,
      openUploads: try uploads(store), batch: sealed.batch)
  }

  /// What a store says of itself.
  struct Found {
    var cluster: ClusterRecord
    var mark: RoundMark
    var state: StateRecord
  }

  /// The namespace in `store`, or `nil` when it is empty.
  static func read(_ store: any StoreReader) throws -> Found? {
    let cluster = try store.value(for: Keys.cluster)
    let mark = try store.value(for: Keys.round)
    let state = try store.value(for: Keys.state)
    guard let cluster, let mark, let state else {
      var isEmpty = cluster == nil && mark == nil && state == nil
      try store.scan(KeyRange(from: [], to: nil)) { _, _ in
        isEmpty = false
        return .stop
      }
      guard isEmpty else {
        throw DFSError(
          .corrupt,
          "the metadata store holds data, but not the records that say which cluster's it is: restore it")
      }
      return nil
    }
    let record = try ClusterRecord(stored: cluster)
    let unknown = record.features.filter { !ClusterRecord.knownFeatures.contains($0) }
    guard record.format <= ClusterRecord.newestFormat, unknown.isEmpty else {
      throw DFSError(
        .failedPrecondition,
        "the metadata store has format \(record.format) with \(unknown), this program knows "
          + "\(ClusterRecord.newestFormat): start a newer program")
    }
    return Found(cluster: record, mark: try RoundMark(stored: mark), state: try StateRecord(stored: state))
  }

  /// Every open upload. Seeks over their pages, so its cost is that of their number, which is bounded.
  private static func uploads(_ store: any OrderedStore) throws -> [UploadID] {
    var uploads: [UploadID] = []
    var range = KeyRange(prefix: Keys.allUploads)
    while true {
      var found: (inode: InodeID, isOpen: Bool)?
      try store.scan(range) { key, _ in
        found = (InodeID(rawValue: try Keys.number(key, at: 2)), key.count == 10)
        return .stop
      }
      guard let found else { return uploads }
      if found.isOpen { uploads.append(found.inode) }
      guard let next = KeyRange.successor(ofPrefix: Keys.upload(found.inode)) else { return uploads }
      range.start = next
    }
  }
}

extension Round {
  /// Makes a new namespace: its identity, and the root.
  fileprivate mutating func create(_ cluster: ClusterRecord) {
    edit { transaction in
      transaction.insert(cluster, at: Keys.cluster)
      let attributes = FileAttributes(mode: 0o755, modified: transaction.context.wallTime)
      let root = DirectoryRecord(
        place: nil, attributes: attributes, created: transaction.context.wallTime,
        policy: transaction.context.configuration.defaultPolicy, revision: .zero)
      transaction.insert(InodeRecord.directory(root), at: Keys.inode(.root))
      transaction.count { $0.directories += 1 }
    }
  }
}
