import DFSCore

/// `u/<upload>`: an open upload. Gone with its commit, abort or expiry.
struct UploadRecord: StoredRecord, Hashable {
  var parent: InodeID
  var name: FileName
  var precondition: WritePrecondition
  var attributes: FileAttributes
  var chunkSize: ChunkSize
  var policy: PlacementPolicy
  /// Indices `0 ..< allocated` have a group.
  var allocated: UInt32
  var sealedSegments: UInt32 = 0
  var sealedChunks: UInt64 = 0
  var sealedBytes: ByteCount = .zero
  /// The last sealed segment has fewer than 512 chunks or ends in a short one: nothing can follow it.
  var isClosed = false
  /// When the first segment was sealed: members that changed since are counted again at the commit.
  var firstSeal: Revision = .zero
  /// Over all sealed chunks; 255 before the first.
  var fewestReplicas = UInt8.max
  var fewestZones = UInt8.max

  static let what: StaticString = "upload"

  init(
    parent: InodeID, name: FileName, precondition: WritePrecondition, attributes: FileAttributes,
    chunkSize: ChunkSize, policy: PlacementPolicy, allocated: UInt32
  ) {
    self.parent = parent
    self.name = name
    self.precondition = precondition
    self.attributes = attributes
    self.chunkSize = chunkSize
    self.policy = policy
    self.allocated = allocated
  }

  var pages: UInt32 { (allocated + UInt32(Limits.segmentChunks) - 1) / UInt32(Limits.segmentChunks) }

  func writeFields(to writer: inout RecordWriter) {
    writer.inode(parent)
    writer.name(name)
    writer.precondition(precondition)
    writer.attributes(attributes)
    writer.chunkSize(chunkSize)
    writer.policy(policy)
    writer.number(allocated)
    writer.number(sealedSegments)
    writer.number(sealedChunks)
    writer.length(sealedBytes)
    writer.byte(isClosed ? 1 : 0)
    writer.revision(firstSeal)
    writer.byte(fewestReplicas)
    writer.byte(fewestZones)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    parent = try reader.inode()
    name = try reader.name()
    precondition = try reader.precondition()
    attributes = try reader.attributes()
    chunkSize = try reader.chunkSize()
    policy = try reader.policy()
    allocated = try reader.number()
    sealedSegments = try reader.number()
    sealedChunks = try reader.number()
    sealedBytes = try reader.length()
    isClosed = try reader.optional { _ in } != nil
    firstSeal = try reader.revision()
    fewestReplicas = try reader.byte()
    fewestZones = try reader.byte()
  }
}

/// `u/<upload>/<page>`: the groups of 512 consecutive indices, and, for the segment of the same number, who holds it.
///
/// Outlives its upload until the reaper has deleted what was not used.
struct AllocationPage: StoredRecord, Hashable {
  /// The group of index `page * 512 + position`; fewer than 512 in the last page only.
  private(set) var groups: [GroupID]
  /// Whether a sealed reference names the index.
  private(set) var isUsed: [Bool]
  /// For each group of the sealed segment, the members that have a receipt for *every* chunk of it there.
  var holders: [GroupHolders] = []

  struct GroupHolders: Hashable {
    var group: GroupID
    var nodes: [NodeID]
  }

  static let what: StaticString = "allocation page"

  init(groups: [GroupID]) {
    self.groups = groups
    isUsed = Array(repeating: false, count: groups.count)
  }

  mutating func append(_ more: some Collection<GroupID>) {
    groups.append(contentsOf: more)
    isUsed.append(contentsOf: repeatElement(false, count: more.count))
  }

  mutating func use(_ position: Int) { isUsed[position] = true }

  func writeFields(to writer: inout RecordWriter) {
    writer.groups(groups)
    for start in stride(from: 0, to: isUsed.count, by: 8) {
      var bits: UInt8 = 0
      for (bit, used) in isUsed[start..<min(start + 8, isUsed.count)].enumerated() where used { bits |= 1 << bit }
      writer.byte(bits)
    }
    writer.number(UInt(holders.count))
    for entry in holders {
      writer.group(entry.group)
      writer.number(UInt(entry.nodes.count))
      for node in entry.nodes { writer.node(node) }
    }
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    groups = try reader.groups(upTo: Limits.segmentChunks)
    isUsed = []
    for start in stride(from: 0, to: groups.count, by: 8) {
      let bits = try reader.byte()
      let count = min(8, groups.count - start)
      guard count == 8 || bits >> count == 0 else { throw reader.corrupt("bits follow the last index") }
      for bit in 0..<count { isUsed.append(bits & 1 << bit != 0) }
    }
    for _ in 0..<(try reader.count(upTo: Limits.segmentChunks)) {
      let group = try reader.group()
      let count = try reader.count(upTo: Int(Limits.mostReplicas))
      holders.append(GroupHolders(group: group, nodes: try (0..<count).map { _ in try reader.node() }))
    }
  }
}
