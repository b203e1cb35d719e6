import DFSCore
import Foundation
import NIOCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// An open file of this machine. Every call blocks: call it on `BlockingThreads`.
final class LocalFile: Sendable {
  /// What tells whether a file is still the one that was opened.
  struct State: Sendable, Equatable {
    var device: UInt64
    var inode: UInt64
    var length: Int64
    var modified: Int64
    var changed: Int64
    var mode: UInt16
    var isRegular: Bool
    var isDirectory: Bool
  }

  let descriptor: Int32
  let path: String
  private let closes: Bool

  init(reading path: String) throws {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    closes = true
    guard descriptor >= 0 else { throw Self.failure(errno, path, "opened") }
  }

  /// Creates a file that must not exist yet, readable by its owner alone until `setAttributes` says
  /// otherwise.
  init(creating path: String) throws {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    closes = true
    guard descriptor >= 0 else { throw Self.failure(errno, path, "created") }
  }

  /// Opens what exists for writing: a device, a pipe.
  init(writing path: String) throws {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CLOEXEC)
    closes = true
    guard descriptor >= 0 else { throw Self.failure(errno, path, "opened for writing") }
  }

  /// Borrows a descriptor, which stays open.
  init(borrowing descriptor: Int32, name: String) {
    self.descriptor = descriptor
    path = name
    closes = false
  }

  deinit { if closes { close(descriptor) } }

  func state() throws -> State {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Self.failure(errno, path, "examined") }
    return State(status)
  }

  /// Appends up to `count` bytes from `offset` to `buffer`; returns how many there were before the end.
  func read(into buffer: inout ByteBuffer, at offset: Int64, count: Int) throws -> Int {
    try collect(into: &buffer, count: count) { pread(descriptor, $0.baseAddress, $0.count, Int(offset) + $1) }
  }

  /// Appends up to `count` bytes from the present position; fewer only at the end.
  func readNext(into buffer: inout ByteBuffer, count: Int) throws -> Int {
    try collect(into: &buffer, count: count) { bytes, _ in
      Foundation.read(descriptor, bytes.baseAddress, bytes.count)
    }
  }

  /// Appends what is there now, up to `count` bytes, after waiting for the first of them for at most `wait`
  /// milliseconds. False when nothing came; true without a byte at the end.
  func readAvailable(into buffer: inout ByteBuffer, count: Int, wait: Int32) throws -> Bool {
    guard try isReadable(within: wait) else { return false }
    var rest = count
    repeat {
      let got = try collect(into: &buffer, count: rest) { space, done in
        // One read at a time, for a second one might wait.
        done == 0 ? Foundation.read(descriptor, space.baseAddress, space.count) : 0
      }
      if got == 0 { break }
      rest -= got
    } while try rest > 0 && isReadable(within: 0)
    return true
  }

  private func isReadable(within wait: Int32) throws -> Bool {
    var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    let ready = poll(&request, 1, wait)
    guard ready >= 0 || errno == EINTR else { throw Self.failure(errno, path, "read") }
    return ready > 0
  }

  private func collect(
    into buffer: inout ByteBuffer, count: Int, _ read: (UnsafeMutableRawBufferPointer, Int) -> Int
  ) throws -> Int {
    var total = 0
    while total < count {
      var failed: Int32 = 0
      let got = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count - total) { space in
        let part = UnsafeMutableRawBufferPointer(rebasing: space.prefix(count - total))
        let got = read(part, total)
        if got < 0 { failed = errno }
        return max(0, got)
      }
      if failed == EINTR { continue }
      guard failed == 0 else { throw Self.failure(failed, path, "read") }
      if got == 0 { break }
      total += got
    }
    return total
  }

  /// Writes everything at `offset`.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws {
    try push(bytes) { pwrite(descriptor, $0.baseAddress, $0.count, Int(offset) + $1) }
  }

  /// Writes everything at the present position. A reader that went away throws `.cancelled`.
  func writeNext(_ bytes: UnsafeRawBufferPointer) throws {
    try push(bytes) { part, _ in Foundation.write(descriptor, part.baseAddress, part.count) }
  }

  private func push(_ bytes: UnsafeRawBufferPointer, _ write: (UnsafeRawBufferPointer, Int) -> Int) throws {
    var done = 0
    while done < bytes.count {
      let put = write(UnsafeRawBufferPointer(rebasing: bytes[done...]), done)
      if put >= 0 {
        done += put
      } else if errno != EINTR {
        throw Self.failure(errno, path, "written")
      }
    }
  }

  func setLength(_ length: Int64) throws {
    guard ftruncate(descriptor, Int(length)) == 0 else {
      throw Self.failure(errno, path, "made \(length) bytes long")
    }
  }

  func setAttributes(mode: UInt16, modified: Timestamp) throws {
    guard fchmod(descriptor, mode_t(mode & 0o7777)) == 0 else {
      throw Self.failure(errno, path, "given its mode")
    }
    let time = timespec(tv_sec: Int(modified.seconds), tv_nsec: Int(modified.nanoseconds))
    guard futimens(descriptor, [time, time]) == 0 else { throw Self.failure(errno, path, "given its time") }
  }

  /// The error for `number` with what could not be done to `path`.
  static func failure(_ number: Int32, _ path: String, _ what: String) -> DFSError {
    let code: DFSError.Code =
      switch number {
      case ENOENT, ENOTDIR: .notFound
      case EACCES, EPERM, EROFS: .permissionDenied
      case EEXIST: .alreadyExists
      case ENOSPC, EDQUOT, EMFILE, ENFILE: .exhausted
      case EISDIR, ENOTEMPTY: .failedPrecondition
      case EPIPE: .cancelled
      case ENAMETOOLONG, EINVAL, ELOOP: .invalidArgument
      default: .unavailable
      }
    var error = DFSError(
      code, "\(path) cannot be \(what): \(String(cString: strerror(number)))", metadata: ["path": path])
    // Whoever read the other end has gone, which is no fault of anybody's.
    if number == EPIPE { error.metadata["pipe"] = "closed" }
    return error
  }
}

extension LocalFile.State {
  init(_ status: stat) {
    func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }
    self.init(
      device: UInt64(status.st_dev), inode: UInt64(status.st_ino), length: Int64(status.st_size),
      modified: nanoseconds(status.st_mtim), changed: nanoseconds(status.st_ctim),
      mode: UInt16(status.st_mode & 0o7777), isRegular: status.st_mode & S_IFMT == S_IFREG,
      isDirectory: status.st_mode & S_IFMT == S_IFDIR)
  }
}
