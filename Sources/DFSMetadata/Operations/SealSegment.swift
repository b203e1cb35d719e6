package import DFSCore

/// Stores the references of the file's next 512 chunks under the still invisible inode.
///
/// Segments are sealed in order. Sealing one again with the same references answers as before; with others it
/// is refused. Only receipts of members that are current and not failed in this round count; a chunk with
/// fewer than W of them must be sent again, and then nothing is stored. A member without a receipt becomes
/// `behind`.
package struct SealSegment: Mutation {
  package enum Outcome: Sendable, Hashable {
    /// So many segments are sealed now.
    case sealed(segments: UInt32)
    /// These indices have too few durable copies: store their bytes under new indices, then seal again.
    case sendAgain([UInt32])
  }

  package var upload: UploadID
  package var segment: UInt32
  /// In the file's order: 512, or 1 to 512 in the file's last segment.
  package var chunks: [StoredChunk]

  package init(upload: UploadID, segment: UInt32, chunks: [StoredChunk]) {
    self.upload = upload
    self.segment = segment
    self.chunks = chunks
  }
}

extension SealSegment {
  package static var kind: OperationKind { .sealSegment }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.inode(upload)
    writer.number(segment)
    writer.stored(chunks)
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    // The other outcome changes nothing, so it is never stored.
    if case .sealed(let segments) = outcome { writer.number(segments) }
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    .sealed(segments: try reader.number())
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    var record = try transaction.openUpload(upload)
    transaction.note(.leaseStarted(upload))
    if segment < record.sealedSegments {
      try checkSame(in: &transaction)
      return .sealed(segments: record.sealedSegments)
    }
    guard segment == record.sealedSegments else {
      throw DFSError(
        .failedPrecondition, "segments are sealed in order: \(record.sealedSegments) is next, not \(segment)",
        metadata: ["segment": record.sealedSegments.description])
    }
    guard !record.isClosed, segment < Limits.segments, !chunks.isEmpty else {
      throw DFSError(
        .invalidArgument,
        "nothing can follow a segment that is not full, a file has at most \(Limits.segments) "
          + "segments, and none is empty")
    }
    let stored = try StoredChunks(chunks, of: upload, record, in: &transaction)
    guard stored.sendAgain.isEmpty else { return .sendAgain(stored.sendAgain) }
    try stored.mark(for: upload, in: &transaction)
    transaction.insert(SegmentRecord(chunks: stored.references), at: Keys.segment(upload, segment))
    // The holders are kept in the page of the segment's number: as many chunks were allocated before.
    var page = try transaction.allocationPage(upload, segment)
    page.holders = stored.groupHolders
    try transaction.put(page, at: Keys.allocation(upload, segment))

    record.sealedSegments += 1
    record.sealedChunks += UInt64(chunks.count)
    record.sealedBytes = record.sealedBytes + stored.bytes
    record.isClosed = stored.isClosed
    record.fewestReplicas = min(record.fewestReplicas, stored.fewestReplicas)
    record.fewestZones = min(record.fewestZones, stored.fewestZones)
    if record.firstSeal == .zero { record.firstSeal = transaction.revision }
    try transaction.put(record, at: Keys.upload(upload))
    return .sealed(segments: record.sealedSegments)
  }

  private func checkSame(in transaction: inout Transaction) throws {
    let sealed = try transaction.record(Keys.segment(upload, segment), SegmentRecord.self)?.chunks ?? []
    let isSame =
      sealed.count == chunks.count
      && zip(sealed, chunks).allSatisfy {
        $0.index == $1.index && $0.length == $1.length && $0.root == $1.root
      }
    guard isSame else {
      throw DFSError(
        .invalidArgument, "segment \(segment) of upload \(upload) is sealed with other chunks",
        metadata: ["segment": segment.description])
    }
  }
}
