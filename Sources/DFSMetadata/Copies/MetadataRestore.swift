package import DFSCore
package import DFSKeyValue

/// Rebuilds a metadata store from a copy: a checkpoint's pieces, then the rounds after it, each checked to follow
/// the one before. `finish` proves the result by its digest and makes it a new incarnation.
///
/// Throws `.corrupt` for a copy that is damaged, has a hole or does not add up; the store is worthless then.
package struct MetadataRestore {
  /// What was restored.
  package struct Outcome: Sendable, Hashable {
    package var cluster: ClusterID
    /// The last round of the copy.
    package var mark: RoundMark
    /// Of the copy; the restored store goes on far above it.
    package var revision: Revision
    package var counts: NamespaceCounts
    /// Of the restored store.
    package var incarnation: UInt16
    package var nodes: [ClusterNode]
  }

  /// The highest that anybody has seen of the lost coordinator: the restored one stays above it.
  package struct Seen: Sendable, Hashable {
    package var epoch: Epoch
    package var revision: Revision

    package init(epoch: Epoch = .zero, revision: Revision = .zero) {
      self.epoch = epoch
      self.revision = revision
    }
  }

  private let store: any OrderedStore
  private var pieces: UInt64 = 0
  private var lastKey: [UInt8] = []
  /// Once the checkpoint is complete.
  package private(set) var mark: RoundMark?

  /// Revisions of lost changes must not come again for others: an `if revision` would take one for the other.
  /// So the restored namespace goes on at the next but one multiple of this.
  static let revisionStep: UInt64 = 1_000_000_000

  /// `store` must be empty: else throws `.failedPrecondition`.
  package init(into store: any OrderedStore) throws {
    var isEmpty = true
    try store.scan(KeyRange(from: [], to: nil)) { _, _ in
      isEmpty = false
      return .stop
    }
    guard isEmpty else {
      throw DFSError(.failedPrecondition, "the store to restore into is not empty")
    }
    self.store = store
  }

  /// Takes the checkpoint's next piece. Blocks.
  package mutating func add(piece: [UInt8], number: UInt64) throws {
    guard mark == nil, number == pieces else {
      throw DFSError(.corrupt, "piece \(number) of the checkpoint comes where piece \(pieces) should")
    }
    pieces += 1
    var batch = WriteBatch()
    for (key, value) in try MetadataCheckpoint.records(of: piece) {
      guard lastKey.lexicographicallyPrecedes(key) else {
        throw DFSError(.corrupt, "the pieces of the checkpoint are not in order")
      }
      lastKey = key
      batch.put(key, value)
      for change in try DerivedIndex.changes(key, from: nil, to: value) {
        guard case .put(let key, let value) = change else { continue }
        batch.put(key, value)
      }
    }
    try store.apply(batch, durability: .buffered)
  }

  /// Ends the checkpoint, which the copy says to show `expected`. Blocks.
  package mutating func endCheckpoint(at expected: RoundMark) throws {
    guard mark == nil else { throw DFSError(.corrupt, "the checkpoint ends twice") }
    let found = try store.value(for: Keys.round).map { try RoundMark(stored: $0) }
    guard found == expected else {
      throw DFSError(.corrupt, "the checkpoint does not show round \(expected.round), as the copy says")
    }
    mark = expected
  }

  /// Takes the next round. Blocks.
  package mutating func add(round bytes: [UInt8]) throws {
    let round = try SettledRound(encoded: bytes)
    guard let mark, round.previous == mark else {
      throw DFSError(
        .corrupt,
        "round \(round.mark.round) of the copy does not follow round \(mark?.round ?? 0): the copy has a hole")
    }
    let derived = try DerivedIndex.changes(of: round.changes, in: store)
    try store.apply(round.changes.adding(derived), durability: .buffered)
    self.mark = round.mark
  }

  /// Verifies everything by its digest, raises the incarnation above all that was seen, holds the namespace, and
  /// makes it durable. Reads the whole store. Blocks.
  package mutating func finish(above seen: Seen) throws -> Outcome {
    guard let mark else { throw DFSError(.corrupt, "the copy has no complete checkpoint") }
    let view = NamespaceView(reader: store.snapshot(), revision: .zero)
    try view.checkDigest()
    var source = view
    guard var cluster = try source.record(Keys.cluster, ClusterRecord.self),
      var state = try source.record(Keys.state, StateRecord.self)
    else { throw DFSError(.corrupt, "the copy does not say which cluster's it is") }
    let revision = state.revision
    let highest = max(cluster.incarnation, seen.epoch.incarnation)
    guard highest < .max else {
      throw DFSError(.exhausted, "the metadata was restored \(highest) times: there is no further incarnation")
    }
    cluster.incarnation = highest + 1
    cluster.isHeld = true
    let passed = max(revision, seen.revision).rawValue / Self.revisionStep
    state.revision = Revision(rawValue: (passed + 2) * Self.revisionStep)
    var batch = WriteBatch()
    for group in try raisedGroups(for: cluster.incarnation, &state.digest) {
      batch.put(Keys.group(group.id), GroupRecord(group).encoded)
    }
    // A round of its own, which no coordinator of the lost history has made: no copy can be taken to continue.
    let own = RoundMark(term: max(mark.term, seen.epoch.term) + 1, round: mark.round + 1)
    batch.put(Keys.cluster, cluster.encoded)
    batch.put(Keys.state, state.encoded)
    batch.put(Keys.round, own.encoded)
    try store.apply(batch, durability: .synced)
    return Outcome(
      cluster: cluster.cluster, mark: mark, revision: revision, counts: state.counts,
      incarnation: cluster.incarnation, nodes: try view.nodes())
  }

  /// Nodes may have promised to refuse transfers below an epoch that only the lost rounds knew: every group goes on
  /// above it.
  private func raisedGroups(
    for incarnation: UInt16, _ digest: inout StateDigest
  ) throws -> [PlacementGroup] {
    let first = GroupEpoch.first(inIncarnation: incarnation)
    var raised: [PlacementGroup] = []
    try store.scan(KeyRange(prefix: Keys.allGroups)) { key, value in
      let id = GroupID(rawValue: try Keys.number(key, at: 2))
      var group = try GroupRecord(stored: Array(value)).group(id)
      group.epoch = max(first, GroupEpoch(rawValue: group.epoch.rawValue + GroupEpoch.incarnationStep))
      digest -= StateDigest(key: key, value: value)
      digest += StateDigest(key: Array(key), value: GroupRecord(group).encoded)
      raised.append(group)
      return .goOn
    }
    return raised
  }
}
