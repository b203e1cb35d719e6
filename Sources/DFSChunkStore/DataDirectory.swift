package import DFSCore
import DFSCrypto
import Synchronization

/// What the data directory says of itself; chosen at its formatting and never changed, but for the cluster,
/// which is adopted once.
package struct StoreIdentity: Hashable, Sendable {
  package var node: NodeID
  package var store: StoreID
  /// `nil` until the node has registered for the first time.
  package var cluster: ClusterID?

  package init(node: NodeID, store: StoreID, cluster: ClusterID?) {
    self.node = node
    self.store = store
    self.cluster = cluster
  }
}

/// The highest state of a coordinator that this node has seen: one that went backwards is refused.
package struct CoordinatorMark: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var epoch: Epoch
  package var revision: Revision

  package init(epoch: Epoch, revision: Revision) {
    self.epoch = epoch
    self.revision = revision
  }

  package static let zero = CoordinatorMark(epoch: .zero, revision: .zero)
  package var description: String { "epoch \(epoch), revision \(revision)" }
  package static func < (left: Self, right: Self) -> Bool {
    (left.epoch, left.revision) < (right.epoch, right.revision)
  }
}

/// One formatted directory of one datanode: who it is, what it has promised, and the lock that keeps a second
/// process out.
///
///     identity    node, store and cluster id
///     state       coordinator mark and group epochs
///     scrub       how far the scrub is
///     lost        there while the coordinator was not told that chunks were lost as a whole
///     lock        held while the process lives
///     chunks/<group>/<chunk>   chunks over 256 KiB     incoming/   chunks being written
///     metadata/                a copy of the coordinator's metadata
///     quarantine/              bad chunks              small/      the rest, in RocksDB
///
/// Both records are replaced as a whole, so a crash leaves the old one or the new one.
package final class DataDirectory: Sendable {
  private static let identityRecord = SealedRecord(tag: "dfsnode ", version: 1)
  private static let stateRecord = SealedRecord(tag: "dfsstate", version: 1)
  private static let lostRecord = SealedRecord(tag: "dfslost ", version: 1)

  private struct State: Sendable {
    var identity: StoreIdentity
    var mark = CoordinatorMark.zero
    var groups: [GroupID: GroupEpoch] = [:]
  }

  package let path: String
  let fileSystem: any FileSystem
  private let lock: Mutex<(any FileLock)?>
  // What is durable. Readers never wait for a disk: a change is made under `changing`, and shown when it is
  // synced.
  private let state: Mutex<State>
  private let changing = Mutex(())
  private let lost: Mutex<Bool>

  /// Opens the directory, or formats it with random ids when it is empty (or absent, in a directory that
  /// exists).
  ///
  /// Throws `.failedPrecondition` when it has a newer format or holds something else, `.unavailable` when
  /// another process uses it, `.corrupt` when its records are damaged.
  package init(path: String, fileSystem: any FileSystem = PosixFileSystem()) throws {
    self.path = path
    self.fileSystem = fileSystem
    try fileSystem.makeDirectory(path)
    let names = Set(try fileSystem.entries(of: path))
    let foreign = names.subtracting(["lost+found", "lock", "identity.new"])
    guard names.contains("identity") || foreign.isEmpty else {
      throw DFSError(
        .failedPrecondition,
        "\(path) is no data directory and not empty (\(foreign.min() ?? "")); give an empty one")
    }
    let lock = try fileSystem.lock("\(path)/lock")
    self.lock = Mutex(lock)
    let identity: StoreIdentity
    if let bytes = try fileSystem.contents(of: "\(path)/identity", limit: 4 << 10) {
      identity = try Self.decodeIdentity(bytes, name: "\(path)/identity")
    } else {
      identity = StoreIdentity(
        node: NodeID(rawValue: try SecureRandom.identity()),
        store: StoreID(rawValue: try SecureRandom.identity()),
        cluster: nil)
      try fileSystem.replace("identity", in: path, with: Self.encode(identity))
      // The directory's own name may be new, too.
      try fileSystem.syncDirectory(Self.parent(of: path))
    }
    var state = State(identity: identity)
    if let bytes = try fileSystem.contents(of: "\(path)/state", limit: 16 << 20) {
      (state.mark, state.groups) = try Self.decodeState(bytes, name: "\(path)/state")
    }
    self.state = Mutex(state)
    lost = Mutex(names.contains("lost"))
  }

  /// Lets another process, or another part of this one, have the directory. Nobody may use this value afterwards.
  package func close() { lock.withLock { $0 = nil } }

  package var identity: StoreIdentity { state.withLock { $0.identity } }
  package var mark: CoordinatorMark { state.withLock { $0.mark } }

  /// The highest epochs of groups that this node has promised to keep to.
  package var epochs: [GroupID: GroupEpoch] { state.withLock { $0.groups } }

  /// The highest epoch of the group that this node has promised to keep to; zero when it knows none.
  package func epoch(of group: GroupID) -> GroupEpoch {
    state.withLock { $0.groups[group] ?? GroupEpoch(rawValue: 0) }
  }

  /// Binds the directory to a cluster for ever; durable when it returns. Throws `.failedPrecondition` when it
  /// belongs to another.
  package func adopt(_ cluster: ClusterID) throws {
    try changing.withLock { _ in
      var identity = self.identity
      if identity.cluster == cluster { return }
      if let other = identity.cluster {
        throw DFSError(
          .failedPrecondition,
          "\(path) belongs to cluster \(other), not to \(cluster); use another data directory")
      }
      identity.cluster = cluster
      try fileSystem.replace("identity", in: path, with: Self.encode(identity))
      state.withLock { $0.identity = identity }
    }
  }

  /// Remembers the coordinator's state; durable when it returns. Throws `.stale` for a lower one than was
  /// seen.
  package func raise(to mark: CoordinatorMark) throws {
    try change { highest, _ in
      guard mark >= highest else {
        throw DFSError(.stale, "the coordinator is at \(mark); this node has seen one at \(highest)")
      }
      highest = mark
    }
  }

  /// Remembers group epochs; durable when it returns. A lower one than was seen changes nothing.
  package func raise(_ epochs: [GroupID: GroupEpoch]) throws {
    try change { _, groups in groups.merge(epochs) { max($0, $1) } }
  }

  /// Chunks of this directory were lost as a whole, and the coordinator may not know it yet.
  package var hasLostChunks: Bool { lost.withLock { $0 } }

  /// Remembers that chunks were lost as a whole; durable when it returns.
  package func noteLostChunks() throws {
    try changing.withLock { _ in
      guard !hasLostChunks else { return }
      try fileSystem.replace("lost", in: path, with: Self.lostRecord.seal([]))
      lost.withLock { $0 = true }
    }
  }

  /// Forgets it: the coordinator knows. Told twice, it would only look twice.
  package func forgetLostChunks() throws {
    try changing.withLock { _ in
      guard hasLostChunks else { return }
      do { try fileSystem.remove("\(path)/lost") } catch let error as DFSError where error.code == .notFound {
      }
      try fileSystem.syncDirectory(path)
      lost.withLock { $0 = false }
    }
  }

  private func change(_ body: (inout CoordinatorMark, inout [GroupID: GroupEpoch]) throws -> Void) throws {
    try changing.withLock { _ in
      let present = state.withLock { $0 }
      var changed = present
      try body(&changed.mark, &changed.groups)
      guard changed.mark != present.mark || changed.groups != present.groups else { return }
      try fileSystem.replace("state", in: path, with: Self.encode(changed))
      state.withLock { $0 = changed }
    }
  }

  private static func parent(of path: String) -> String {
    let parts = path.split(separator: "/").dropLast().joined(separator: "/")
    return path.hasPrefix("/") ? "/" + parts : parts.isEmpty ? "." : parts
  }

  private static func encode(_ identity: StoreIdentity) -> [UInt8] {
    var writer = ByteWriter()
    writer.append(identity.node.rawValue)
    writer.append(identity.store.rawValue)
    writer.append(identity.cluster?.rawValue ?? 0)
    return identityRecord.seal(writer.bytes)
  }

  private static func decodeIdentity(_ bytes: [UInt8], name: String) throws -> StoreIdentity {
    try identityRecord.open(bytes, name: name) { reader in
      let node = NodeID(rawValue: try reader.number())
      let store = StoreID(rawValue: try reader.number())
      let cluster: UInt64 = try reader.number()
      return StoreIdentity(
        node: node, store: store, cluster: cluster == 0 ? nil : ClusterID(rawValue: cluster))
    }
  }

  private static func encode(_ state: State) -> [UInt8] {
    var writer = ByteWriter()
    writer.append(state.mark.epoch.incarnation)
    writer.append(state.mark.epoch.term)
    writer.append(state.mark.revision.rawValue)
    writer.append(UInt32(state.groups.count))
    for (group, epoch) in state.groups.sorted(by: { $0.key < $1.key }) {
      writer.append(group.rawValue)
      writer.append(epoch.rawValue)
    }
    return stateRecord.seal(writer.bytes)
  }

  private static func decodeState(
    _ bytes: [UInt8], name: String
  ) throws -> (CoordinatorMark, [GroupID: GroupEpoch]) {
    try stateRecord.open(bytes, name: name) { reader in
      let epoch = Epoch(incarnation: try reader.number(), term: try reader.number())
      let mark = CoordinatorMark(epoch: epoch, revision: Revision(rawValue: try reader.number()))
      var groups: [GroupID: GroupEpoch] = [:]
      for _ in 0..<(try reader.number(UInt32.self)) {
        let group = GroupID(rawValue: try reader.number())
        groups[group] = GroupEpoch(rawValue: try reader.number())
      }
      return (mark, groups)
    }
  }
}
