import DFSCore
import Synchronization

/// Memory that a writer fills before it goes to the disk as a whole, past the page cache: it starts at a page.
final class PageBuffer: @unchecked Sendable {
  // SAFETY: one writer at a time has it, and uses it under its own lock.
  static let capacity = 512 << 10

  private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: Page.size)
  private(set) var count = 0

  deinit { memory.deallocate() }

  /// What is in it.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }
  /// The whole pages of that, and the rest.
  var pages: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[..<(count - count % Page.size)])
  }
  var rest: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[(count - count % Page.size)...])
  }

  var isFull: Bool { count == Self.capacity }

  /// Takes as much of the bytes as there is room for. Gives how many.
  func fill(_ bytes: UnsafeRawBufferPointer) -> Int {
    let taken = min(bytes.count, Self.capacity - count)
    memory[count..<count + taken].copyBytes(from: bytes[..<taken])
    count += taken
    return taken
  }

  func empty() { count = 0 }
}

/// Buffers that the next writer takes over: memory that was never touched costs more than the copy into it.
final class PageBuffers: Sendable {
  /// However many write at once: 16 MiB.
  private static let most = 32
  private let state = Mutex<(idle: [PageBuffer], count: Int)>(([], 0))

  /// `nil` when all are in use: then the page cache has to do.
  func take() -> PageBuffer? {
    state.withLock { state in
      if let buffer = state.idle.popLast() { return buffer }
      guard state.count < Self.most else { return nil }
      state.count += 1
      return PageBuffer()
    }
  }

  func give(_ buffer: PageBuffer) {
    buffer.empty()
    state.withLock { $0.idle.append(buffer) }
  }
}
