package import DFSCore
import DequeModule
import Glibc
package import NIOCore

/// A piece of a stream's payload on its way out.
package enum Payload: Sendable {
  case short(ShortBytes)
  case buffer(ByteBuffer)
  /// Memory of a budget, which is held until the socket has taken the bytes.
  case lent(ByteBuffer, MemoryLoan)
  case file(FileSlice)

  package var byteCount: Int {
    switch self {
    case .short(let bytes): bytes.count
    case .buffer(let buffer), .lent(let buffer, _): buffer.readableBytes
    case .file(let slice): slice.byteCount
    }
  }
}

/// Up to eight bytes without an allocation: gRPC's prefix of a message has five.
package struct ShortBytes: Sendable {
  private(set) var value: UInt64 = 0
  package private(set) var count = 0

  package init() {}

  package mutating func append(_ byte: UInt8) {
    precondition(count < 8, "short bytes are at most eight")
    value = value << 8 | UInt64(byte)
    count += 1
  }

  mutating func takeFirst() -> UInt8 {
    precondition(count > 0, "there is a byte to take")
    count -= 1
    return UInt8(truncatingIfNeeded: value >> UInt64(count * 8))
  }
}

/// A region of a file that is sent without being read into the process. It keeps its own duplicate of the
/// descriptor until the last byte has left.
package struct FileSlice: Sendable {
  let file: DuplicatedFile
  private(set) var offset: Int
  private(set) var end: Int

  /// Duplicates the region's descriptor. Throws `IOError` when the process has none left.
  package init(_ region: FileRegion) throws {
    file = DuplicatedFile(handle: try region.fileHandle.duplicate())
    offset = region.readerIndex
    end = region.endIndex
  }

  var byteCount: Int { end - offset }
  var region: FileRegion { FileRegion(fileHandle: file.handle, readerIndex: offset, endIndex: end) }

  mutating func takeFirst(_ count: Int) -> FileSlice {
    var first = self
    first.end = offset + count
    offset += count
    return first
  }
}

/// Closes the descriptor when nobody sends from it any more.
final class DuplicatedFile: Sendable {
  let handle: NIOFileHandle
  init(handle: NIOFileHandle) { self.handle = handle }
  // Closing a descriptor that was only read from loses nothing if it fails.
  deinit { try? handle.close() }
}

/// What one stream has to send, in order.
struct PayloadQueue {
  private var parts: Deque<Payload> = []
  private(set) var byteCount = 0

  mutating func append(_ part: Payload) {
    guard part.byteCount > 0 else { return }
    parts.append(part)
    byteCount += part.byteCount
  }

  mutating func removeAll() {
    parts.removeAll()
    byteCount = 0
  }

  /// Takes exactly `count` bytes, which must be there, in as few pieces as possible.
  mutating func take(_ count: Int, _ body: (Payload) -> Void) {
    precondition(count <= byteCount, "only what is queued can be taken")
    byteCount -= count
    var wanted = count
    while wanted > 0, let part = parts.popFirst() {
      if part.byteCount <= wanted {
        wanted -= part.byteCount
        body(part)
      } else {
        let (first, rest) = Self.split(part, at: wanted)
        parts.prepend(rest)
        wanted = 0
        body(first)
      }
    }
  }

  private static func split(_ part: Payload, at count: Int) -> (Payload, Payload) {
    switch part {
    case .short(var bytes):
      var first = ShortBytes()
      for _ in 0..<count { first.append(bytes.takeFirst()) }
      return (.short(first), .short(bytes))
    case .buffer(var buffer):
      let first = buffer.readSlice(length: count) ?? buffer
      return (.buffer(first), .buffer(buffer))
    case .lent(var buffer, let loan):
      let first = buffer.readSlice(length: count) ?? buffer
      return (.lent(first, loan), .lent(buffer, loan))
    case .file(var slice):
      let first = slice.takeFirst(count)
      return (.file(first), .file(slice))
    }
  }
}

extension FileSlice {
  /// Reads the region into memory. Blocks: call it on a thread that may. Throws `.corrupt` when the file
  /// is shorter.
  package func read() throws -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: byteCount)
    try file.handle.withUnsafeFileDescriptor { descriptor in
      while buffer.readableBytes < byteCount {
        let wanted = byteCount - buffer.readableBytes
        let position = offset + buffer.readableBytes
        // SAFETY: `pread` writes at most as many bytes as the buffer it is given has.
        let count = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { target in
          let count = pread(descriptor, target.baseAddress, wanted, position)
          guard count >= 0 else { throw IOError(errnoCode: errno, reason: "pread") }
          return count
        }
        guard count > 0 else { throw DFSError(.corrupt, "a file ends before the region that was to be sent") }
      }
    }
    return buffer
  }
}
