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
  /// What all idle buffers may take: 8 MiB, and no more than 32 of them.
  private static let most = 8 << 20
  private let capacity: Int
  private let most: Int
  private let free = NIOLockedValueBox<Deque<ByteBuffer>>([])

  init(capacity: Int) {
    self.capacity = capacity
    most = min(32, max(2, Self.most / capacity))
  }

  func take() -> ByteBuffer {
    let used: ByteBuffer? = free.withLockedValue { free in
      // Young ones are probably still on their way to the socket.
      free.count > most / 2 ? free.popFirst() : nil
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
      if free.count < most { free.append(buffer) }
    }
  }
}
