package import DFSCore
package import Foundation
package import NIOCore

// The core's words on the wire. Decoding checks everything that a number or a length can break; what an id
// means is checked by whoever looks it up.

extension WireEpoch {
  package init(_ epoch: Epoch) {
    self.init()
    incarnation = UInt32(epoch.incarnation)
    term = epoch.term
  }
}

extension Epoch {
  /// Throws `.invalidArgument` for an incarnation over 16 bits.
  package init(_ wire: WireEpoch) throws {
    guard let incarnation = UInt16(exactly: wire.incarnation) else {
      throw DFSError(.invalidArgument, "an epoch's incarnation has 16 bits, \(wire.incarnation) has more")
    }
    self.init(incarnation: incarnation, term: wire.term)
  }
}

extension WireChunkId {
  package init(_ chunk: ChunkID) {
    self.init()
    inode = chunk.inode.rawValue
    index = chunk.index
  }
}

extension ChunkID {
  package init(_ wire: WireChunkId) {
    self.init(inode: InodeID(rawValue: wire.inode), index: wire.index)
  }
}

extension WireRequestId {
  package init(_ request: RequestID) {
    self.init()
    seenRevision = request.seen.rawValue
    high = request.high
    low = request.low
  }
}

extension RequestID {
  /// Throws `.invalidArgument` for an id without random bits, as a request without an id has.
  package init(_ wire: WireRequestId) throws {
    guard wire.high != 0 || wire.low != 0 else {
      throw DFSError(.invalidArgument, "a mutation needs a request id of 128 random bits")
    }
    self.init(seen: Revision(rawValue: wire.seenRevision), high: wire.high, low: wire.low)
  }
}

extension Digest {
  /// Throws `.invalidArgument` unless there are exactly 32 bytes; `what` names the field.
  package init(wire bytes: Data, _ what: String) throws {
    guard bytes.count == Self.byteCount else {
      throw DFSError(.invalidArgument, "\(what) must have 32 bytes, not \(bytes.count)")
    }
    self = bytes.withUnsafeBytes { Digest(loading: $0) }
  }

  package var wire: Data { withUnsafeBytes { Data($0) } }
}

extension ByteBuffer {
  /// The digests that lie one behind the other in the readable bytes.
  package var digests: [Digest] {
    withUnsafeReadableBytes { bytes in
      stride(from: 0, to: bytes.count - bytes.count % Digest.byteCount, by: Digest.byteCount).map {
        Digest(loading: UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + Digest.byteCount]))
      }
    }
  }
}
