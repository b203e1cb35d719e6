package import DFSCore

// What `resume` reads.

extension NamespaceView {
  /// What is known of an open upload, for a client that goes on with it. Throws `.notFound`.
  package func upload(_ upload: UploadID) throws -> OpenUpload {
    var source = self
    let record = try source.openUpload(upload)
    return OpenUpload(
      upload: upload, parent: record.parent, name: record.name, precondition: record.precondition,
      attributes: record.attributes, chunkSize: record.chunkSize, policy: record.policy,
      allocated: record.allocated,
      sealedSegments: record.sealedSegments, sealedChunks: record.sealedChunks,
      sealedBytes: record.sealedBytes)
  }

  /// The groups of the indices of one allocation page, in order; none beyond the last page.
  package func allocation(_ upload: UploadID, page: UInt32) throws -> [GroupID] {
    var source = self
    return try source.record(Keys.allocation(upload, page), AllocationPage.self)?.groups ?? []
  }

  /// The sealed references of one segment of an open upload; none beyond the last.
  package func sealedSegment(_ upload: UploadID, _ segment: UInt32) throws -> [ChunkReference] {
    var source = self
    return try source.record(Keys.segment(upload, segment), SegmentRecord.self)?.chunks ?? []
  }
}
