package import DFSCore
import DFSKeyValue

// Which chunks live: for the sweep, for strays, and for repair.

extension NamespaceView {
  /// What is known of each of `chunks`, which were found in `group`; in ascending order they are answered
  /// fastest. Blocks.
  ///
  /// Take the view *after* the inventory that the chunks come from: then what is dead here was dead when it
  /// was listed, or died since, and can not be born meanwhile.
  package func liveness(of chunks: [ChunkID], in group: GroupID) throws -> [ChunkLiveness] {
    var reader = try LivenessReader(self, group: group)
    return try chunks.map { try reader.liveness($0) }
  }

  /// The records of `x/` that deal with chunks of `inode`.
  func condemnations(of inode: InodeID) throws -> [CondemnedRecord] {
    var places: [[UInt8]] = []
    try reader.scan(KeyRange(prefix: Keys.condemnations(of: inode))) { key, _ in
      places.append(
        Keys.condemned(
          ClusterTime(rawValue: Int64(clamping: try Keys.number(key, at: 10, as: UInt64.self))),
          InodeID(rawValue: try Keys.number(key, at: 18))))
      return .goOn
    }
    var source = self
    return try places.compactMap { try source.record($0, CondemnedRecord.self) }
  }
}

/// Which serial numbers a history has handed out.
struct IssuedSerials {
  var incarnation: UInt16
  /// The next counter of this incarnation.
  var next: UInt64

  /// Numbers of earlier incarnations count as handed out: those that a restore lost are held until a person
  /// has looked, and then they are dead.
  func contains(_ inode: InodeID) -> Bool {
    let serial = SerialNumber(rawValue: inode.rawValue)
    return serial.incarnation < incarnation || (serial.incarnation == incarnation && serial.counter < next)
  }
}

/// Answers what is known of chunks, one after another; keeps what it has read of the last one's owner.
private struct LivenessReader {
  private struct Owner {
    var inode: InodeID
    var isUploading: Bool
    var condemnations: [CondemnedRecord]
    /// Made when it is first needed.
    var names: VersionLookup?
  }

  private var view: NamespaceView
  private let group: GroupID
  private let issued: IssuedSerials
  private var owner: Owner?

  init(_ view: NamespaceView, group: GroupID) throws {
    self.view = view
    self.group = group
    guard let cluster = try self.view.record(Keys.cluster, ClusterRecord.self),
      let state = try self.view.record(Keys.state, StateRecord.self)
    else { throw DFSError(.corrupt, "the metadata store does not say which cluster's it is") }
    issued = IssuedSerials(incarnation: cluster.incarnation, next: state.nextSerial)
  }

  mutating func liveness(_ chunk: ChunkID) throws -> ChunkLiveness {
    guard issued.contains(chunk.inode) else { return .foreign }
    var owner = try owner(chunk.inode)
    defer { self.owner = owner }
    if try view.bytes(at: Keys.chunk(group, chunk)) != nil {
      return owner.condemnations.contains { $0.kind == .version || $0.kind == .upload } ? .condemned : .named
    }
    if owner.isUploading { return .uploading }
    if try view.bytes(at: Keys.allocation(chunk.inode, chunk.page)) != nil { return .condemned }
    let isListed = owner.condemnations.contains { record in
      record.orphans?.group == group && record.orphans?.chunks.contains(chunk) == true
    }
    if isListed { return .condemned }
    // The index names it in no group; before it counts as dead, the records that the index was made from are
    // asked, whatever the group.
    if owner.names == nil { owner.names = try VersionLookup(chunk.inode, in: view) }
    return try owner.names?.reference(chunk.index) == nil ? .dead : .named
  }

  private func owner(_ inode: InodeID) throws -> Owner {
    if let owner, owner.inode == inode { return owner }
    return Owner(
      inode: inode, isUploading: try view.bytes(at: Keys.upload(inode)) != nil,
      condemnations: try view.condemnations(of: inode))
  }
}

extension ChunkID {
  /// The allocation page that its index is in.
  var page: UInt32 { index / UInt32(Limits.segmentChunks) }
}
