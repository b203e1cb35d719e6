import DequeModule
import NIOConcurrencyHelpers
import NIOCore

/// Buffers that are used again. A fresh large buffer is mapped and zeroed by the kernel, which costs as much
/// as filling it.
///
/// A buffer may be given back while others still hold slices of it: taking it out clears it, and clearing a
/// buffer that is shared makes a new one. First in, first out, so that those others have most likely let go
/// by then.
final class BufferPool: Sendable {
  static let most = 32
  private let capacity: Int
  private let free = NIOLockedValueBox<Deque<ByteBuffer>>([])

  init(capacity: Int) { self.capacity = capacity }

  func take() -> ByteBuffer {
    let used: ByteBuffer? = free.withLockedValue { free in
      // Young ones are probably still on their way to the socket.
      free.count > Self.most / 2 ? free.popFirst() : nil
    }
    guard var buffer = used else {
      var buffer = ByteBuffer()
      buffer.reserveCapacity(capacity)
      return buffer
    }
    buffer.clear(minimumCapacity: capacity)
    return buffer
  }

  func give(_ buffer: ByteBuffer) {
    free.withLockedValue { free in
      if free.count < Self.most { free.append(buffer) }
    }
  }
}
