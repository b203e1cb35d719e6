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
