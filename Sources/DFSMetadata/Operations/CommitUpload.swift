package import DFSCore

/// Makes an upload's version visible under its name, in one transaction or not at all. Its cost does not
/// depend on the size of the file, unless group members changed or lost chunks since the first seal: then every
/// segment's holders are counted again.
package struct CommitUpload: Mutation {
  package enum Outcome: Sendable, Hashable {
    case committed(WriteReceipt)
    /// Indices of `final` with too few durable copies. Nothing has changed. Where sealed chunks have too few,
    /// the commit throws `tooFewCopies`.
    case sendAgain([UInt32])
  }

  package var upload: UploadID
  /// The chunks that are not sealed yet, in the file's order, at most 512: small files seal and commit in one
  /// call.
  package var final: [StoredChunk]
  package var chunkCount: UInt64
  package var length: ByteCount
  /// The root over all blocks of the file. Kept as the client says it; readers verify it.
  package var root: Digest
  /// Replace what `BeginUpload` said: the protocol gives a version's attributes with its commit.
  package var attributes: FileAttributes?

  package init(
    upload: UploadID, final: [StoredChunk], chunkCount: UInt64, length: ByteCount, root: Digest,
    attributes: FileAttributes? = nil
  ) {
    self.upload = upload
    self.final = final
    self.chunkCount = chunkCount
    self.length = length
    self.root = root
    self.attributes = attributes
  }
}

extension CommitUpload {
  package static var kind: OperationKind { .commitUpload }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.inode(upload)
    writer.stored(final)
    writer.number(chunkCount)
    writer.length(length)
    writer.digest(root)
    writer.optional(attributes) { $0.attributes($1) }
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    // The other outcome changes nothing, so it is never stored.
    if case .committed(let receipt) = outcome { writer.receipt(receipt) }
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    .committed(try reader.receipt())
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    let record = try transaction.openUpload(upload)
    if let attributes { try transaction.checkAttributes(attributes) }
    try checkCounts(record)
    let place = try place(of: record, in: &transaction)
    var replicas = record.fewestReplicas
    if record.sealedSegments > 0, transaction.state.placement > record.firstSeal {
      replicas = min(replicas, try countHoldersAgain(record, in: &transaction))
    }
    let stored = try StoredChunks(final, of: upload, record, in: &transaction)
    guard stored.sendAgain.isEmpty else { return .sendAgain(stored.sendAgain) }
    guard record.sealedBytes + stored.bytes == length else {
      throw DFSError(
        .invalidArgument,
        "the chunks of upload \(upload) are \(record.sealedBytes + stored.bytes) long together, "
          + "not \(length)")
    }
    try stored.mark(for: upload, in: &transaction)
    let file = FileRecord(
      attributes: (attributes ?? record.attributes).dated(transaction.context.wallTime),
      created: transaction.context.wallTime, policy: record.policy,
      size: length, chunkSize: record.chunkSize, chunkCount: chunkCount, root: root,
      contents: contents(record, stored, in: &transaction), revision: transaction.revision)
    let hasChunks = chunkCount > 0
    replicas = min(replicas, stored.fewestReplicas)
    let receipt = try transaction.publish(
      file, as: upload, at: place, replicas: hasChunks ? replicas : 0,
      zones: hasChunks ? min(record.fewestZones, stored.fewestZones, replicas) : 0)
    try finish(record, in: &transaction)
    return .committed(receipt)
  }

  private func checkCounts(_ record: UploadRecord) throws {
    guard final.isEmpty || !record.isClosed else {
      throw DFSError(.invalidArgument, "no chunk can follow a segment that is not full")
    }
    guard length >= .zero, UInt64(record.chunkSize.chunkCount(of: length.rawValue)) == chunkCount,
      record.sealedChunks + UInt64(final.count) == chunkCount
    else {
      throw DFSError(
        .invalidArgument,
        "upload \(upload) has \(record.sealedChunks) sealed chunks and \(final.count) more, which do not "
          + "make the \(chunkCount) chunks of \(length)")
    }
  }

  private func place(of record: UploadRecord, in transaction: inout Transaction) throws -> FilePlace {
    try transaction.checkReachesRoot(record.parent)
    let existing = try transaction.record(Keys.entry(record.parent, record.name), EntryRecord.self)
    try transaction.check(record.precondition, on: existing, record.name.description)
    return FilePlace(parent: record.parent, name: record.name, existing: existing)
  }

  /// Few chunks live in the inode, others in segments: the last of them is made here.
  private func contents(
    _ record: UploadRecord, _ stored: StoredChunks, in transaction: inout Transaction
  ) -> FileRecord.Contents {
    if chunkCount == 0 { return .inline([]) }
    if record.sealedSegments == 0, final.count <= Limits.inodeChunks { return .chunks(stored.references) }
    if final.isEmpty { return .segments(record.sealedSegments) }
    let segment = SegmentRecord(chunks: stored.references)
    transaction.insert(segment, at: Keys.segment(upload, record.sealedSegments))
    return .segments(record.sealedSegments + 1)
  }

  /// Members changed or lost chunks since the first seal: what counted then may count no more. Gives the copies of
  /// the chunk that has fewest.
  private func countHoldersAgain(_ record: UploadRecord, in transaction: inout Transaction) throws -> UInt8 {
    var fewest = UInt8.max
    for segment in 0..<record.sealedSegments {
      for entry in try transaction.allocationPage(upload, segment).holders {
        guard let group = try transaction.groupRow(entry.group) else { continue }
        // A member that is full has every living chunk, those of open uploads among them.
        let full = Set(group.slots.filter { $0.state == .full }.compactMap(\.node))
        let count = try entry.fewestCopies(also: full) { node in
          guard full.contains(node) || group.counts(node, at: entry.epoch) else { return false }
          return try transaction.nodeRow(node)?.state.holdsChunks == true
        }
        guard count >= record.policy.writeQuorum else {
          throw DFSError.tooFewCopies(
            "group \(group.id) lost copies since segment \(segment) was sealed and has \(count) of its "
              + "chunks now, not \(record.policy.writeQuorum): commit again when they are repaired, or upload "
              + "the file again",
            metadata: ["segment": segment.description, "group": group.id.description])
        }
        fewest = min(fewest, UInt8(clamping: count))
      }
    }
    return fewest
  }

  /// Ends the upload; what it allocated and did not use is condemned in the same batch, with its pages.
  private func finish(_ record: UploadRecord, in transaction: inout Transaction) throws {
    try transaction.delete(Keys.upload(upload))
    transaction.note(.leaseEnded(upload))
    transaction.count { $0.openUploads -= min(1, $0.openUploads) }
    guard record.pages > 0 else { return }
    if record.pages == 1, UInt64(record.allocated) == chunkCount {
      return try transaction.delete(Keys.allocation(upload, 0))
    }
    try transaction.condemn(upload, .leftovers, pages: record.pages)
  }
}
