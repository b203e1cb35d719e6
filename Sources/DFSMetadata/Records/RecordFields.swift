import DFSCore

// Fields that several records and arguments share.

extension RecordWriter {
  mutating func inode(_ value: InodeID) { number(value.rawValue) }
  mutating func revision(_ value: Revision) { number(value.rawValue) }
  mutating func deletion(_ value: DeletionID) {
    fixed(value.expiry)
    fixed(value.serial)
  }
  mutating func node(_ value: NodeID) { fixed(value.rawValue) }
  mutating func group(_ value: GroupID) { number(value.rawValue) }
  mutating func name(_ value: FileName) { blob(value.bytes) }
  mutating func length(_ value: ByteCount) { number(UInt64(clamping: value.rawValue)) }
  mutating func chunkSize(_ value: ChunkSize) { number(UInt(value.bytes)) }
  mutating func policy(_ value: PlacementPolicy) { byte(value.replicas) }

  mutating func path(_ value: RemotePath) {
    number(UInt(value.components.count))
    for name in value.components { self.name(name) }
  }

  mutating func attributes(_ value: FileAttributes) {
    number(value.mode)
    signed(value.modified.rawValue)
    text(value.owner)
    number(UInt(value.user.count))
    for (name, bytes) in value.user.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      text(name)
      blob(bytes)
    }
  }

  mutating func precondition(_ value: WritePrecondition) {
    switch value {
    case .none: byte(0)
    case .ifAbsent: byte(1)
    case .ifRevision(let revision):
      byte(2)
      self.revision(revision)
    }
  }

  mutating func reference(_ value: ChunkReference) {
    // The format of the stored bytes: 0 is plain; later ones add encoding, stored length and key id.
    byte(0)
    number(value.index)
    group(value.group)
    number(value.length)
    digest(value.root)
  }

  mutating func references(_ values: [ChunkReference]) {
    number(UInt(values.count))
    for value in values { reference(value) }
  }

  /// Without the holders, which the coordinator makes out anew when a client asks again.
  mutating func stored(_ values: [StoredChunk]) {
    number(UInt(values.count))
    for value in values {
      number(value.index)
      number(value.length)
      digest(value.root)
    }
  }

  mutating func groups(_ values: [GroupID]) {
    number(UInt(values.count))
    for value in values { group(value) }
  }

  mutating func slots(_ values: [GroupSlot]) {
    number(UInt(values.count))
    for slot in values {
      byte(slot.state.rawValue)
      if let node = slot.node { self.node(node) }
    }
  }
}

extension RecordReader {
  mutating func inode() throws -> InodeID { InodeID(rawValue: try number()) }
  mutating func revision() throws -> Revision { Revision(rawValue: try number()) }
  mutating func deletion() throws -> DeletionID { DeletionID(expiry: try fixed(), serial: try fixed()) }
  mutating func node() throws -> NodeID { NodeID(rawValue: try fixed()) }
  mutating func group() throws -> GroupID { GroupID(rawValue: try number()) }

  mutating func name() throws -> FileName {
    let bytes = try blob(upTo: FileName.longest)
    do { return try FileName(bytes: bytes) } catch { throw corrupt("a name is not valid") }
  }

  mutating func path(upTo names: Int) throws -> RemotePath {
    RemotePath(components: try (0..<(try count(upTo: names))).map { _ in try name() })
  }

  mutating func length() throws -> ByteCount {
    let value: UInt64 = try number()
    guard let count = Int64(exactly: value) else { throw corrupt("a length is out of range") }
    return ByteCount(rawValue: count)
  }

  mutating func chunkSize() throws -> ChunkSize {
    guard let size = ChunkSize(bytes: Int(try number(UInt32.self))) else {
      throw corrupt("no chunk has such a size")
    }
    return size
  }

  mutating func policy() throws -> PlacementPolicy {
    let replicas = try byte()
    guard (1...Limits.mostReplicas).contains(replicas) else {
      throw corrupt("no policy has \(replicas) replicas")
    }
    return PlacementPolicy(replicas: replicas)
  }

  mutating func attributes() throws -> FileAttributes {
    let mode: UInt16 = try number()
    var value = FileAttributes(mode: mode, modified: FileTime(rawValue: try signed()))
    value.owner = try text(upTo: Limits.ownerBytes)
    for _ in 0..<(try count(upTo: Limits.userAttributes)) {
      let name = try text(upTo: Limits.userAttributeBytes)
      guard value.user.updateValue(try blob(upTo: Limits.userAttributeBytes), forKey: name) == nil else {
        throw corrupt("a user attribute occurs twice")
      }
    }
    return value
  }

  mutating func precondition() throws -> WritePrecondition {
    switch try byte() {
    case 0: return .none
    case 1: return .ifAbsent
    case 2: return .ifRevision(try revision())
    default: throw corrupt("a precondition is unknown")
    }
  }

  mutating func reference() throws -> ChunkReference {
    guard try byte() == 0 else { throw corrupt("a chunk's encoding is unknown") }
    return ChunkReference(index: try number(), group: try group(), length: try number(), root: try digest())
  }

  mutating func references(upTo limit: Int) throws -> [ChunkReference] {
    try (0..<(try count(upTo: limit))).map { _ in try reference() }
  }

  mutating func groups(upTo limit: Int) throws -> [GroupID] {
    try (0..<(try count(upTo: limit))).map { _ in try group() }
  }

  mutating func slots() throws -> [GroupSlot] {
    try (0..<(try count(upTo: Int(Limits.mostReplicas)))).map { _ in
      let state: SlotState = try choice()
      return state == .vacant ? .vacant : GroupSlot(node: try node(), state: state)
    }
  }
}
