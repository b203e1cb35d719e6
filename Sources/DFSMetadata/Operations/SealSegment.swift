package import DFSCore

/// Stores the references of the file's next 512 chunks under the still invisible inode.
///
/// Segments are sealed in order. Sealing one again with the same references answers as before; with others it is
/// refused. Only receipts of members that are current and not failed in this round count; a chunk with fewer than W
/// of them must be sent again, and then nothing is stored. A member without a receipt becomes `behind`.
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
