import Synchronization

/// Memory that a writer fills before it goes to the disk as a whole, past the page cache: it starts at a page.
final class PageBuffer: @unchecked Sendable {
  // SAFETY: one writer at a time has it, and uses it under its own lock.
  static let capacity = 1 << 20
  static let pageSize = 4 << 10

  private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: pageSize)
  private(set) var count = 0

  deinit { memory.deallocate() }

  /// What is in it.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }
  /// The whole pages of that, and the rest.
  var pages: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[..<(count - count % Self.pageSize)])
  }
  var rest: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[(count - count % Self.pageSize)...])
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
  private static let mostIdle = 8
  private let idle = Mutex<[PageBuffer]>([])

  func take() -> PageBuffer { idle.withLock { $0.popLast() } ?? PageBuffer() }

  func give(_ buffer: PageBuffer) {
    buffer.empty()
    idle.withLock { if $0.count < Self.mostIdle { $0.append(buffer) } }
  }
}
