import CLinux
import DFSCore
import Glibc
import Synchronization

/// The file system of the machine.
package struct PosixFileSystem: FileSystem {
  package init() {}

  package func makeDirectory(_ path: String) throws {
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw failure(errno, "make directory", path) }
  }

  package func entries(of path: String) throws -> [String] {
    guard let directory = opendir(path) else { throw failure(errno, "read directory", path) }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else {
        guard errno == 0 else { throw failure(errno, "read directory", path) }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
        // SAFETY: `d_name` is a zero-terminated string inside the entry, which lives until the next
        // `readdir`.
        name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  package func open(_ path: String, _ mode: OpenMode) throws -> any OpenFile {
    let flags =
      switch mode {
      case .read: O_RDONLY
      case .create: O_RDWR | O_CREAT | O_EXCL
      }
    let descriptor = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw readFailure(errno, "open", path) }
    return PosixFile(descriptor, path, access: flags & O_ACCMODE)
  }

  package func length(of path: String) throws -> Int? {
    var status = stat()
    if lstat(path, &status) == 0 { return Int(status.st_size) }
    guard errno == ENOENT else { throw readFailure(errno, "look at", path) }
    return nil
  }

  package func rename(_ path: String, to target: String, _ replacement: Replacement) throws {
    let noReplace: UInt32 = 1
    if renameat2(AT_FDCWD, path, AT_FDCWD, target, replacement == .refused ? noReplace : 0) == 0 { return }
    // Some file systems know no flags: a hard link refuses an existing name as well.
    guard replacement == .refused, errno == EINVAL || errno == ENOSYS else {
      throw failure(errno, "rename", path)
    }
    guard link(path, target) == 0 else { throw failure(errno, "link", path) }
    unlink(path)
  }

  package func remove(_ path: String) throws {
    guard unlink(path) == 0 else { throw failure(errno, "remove", path) }
  }

  package func syncDirectory(_ path: String) throws {
    let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(errno, "open", path) }
    defer { Glibc.close(descriptor) }
    guard fsync(descriptor) == 0 else { throw syncFailure(errno, path) }
  }

  package func lock(_ path: String) throws -> any FileLock {
    let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure(errno, "open", path) }
    let lock = PosixLock(descriptor)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      guard errno == EWOULDBLOCK else { throw failure(errno, "lock", path) }
      throw DFSError(.unavailable, "another process uses \(path); stop it first")
    }
    return lock
  }

  package func space(at path: String) throws -> FileSystemSpace {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { throw failure(errno, "measure", path) }
    let unit = UInt64(status.f_frsize)
    return FileSystemSpace(
      capacity: ByteCount(UInt64(status.f_blocks) * unit), free: ByteCount(UInt64(status.f_bavail) * unit))
  }
}

private final class PosixLock: FileLock {
  private let descriptor: Int32
  init(_ descriptor: Int32) { self.descriptor = descriptor }
  deinit { Glibc.close(descriptor) }
}

private final class PosixFile: OpenFile {
  /// The way past the page cache.
  private enum DirectWay {
    case untried
    case open(Descriptor)
    /// The file system has none.
    case closed
  }

  /// Closed when the last call that uses it is over.
  private final class Descriptor: Sendable {
    let number: Int32
    init(_ number: Int32) { self.number = number }
    deinit { Glibc.close(number) }
  }

  private let number: Int32
  private let path: String
  private let access: Int32
  private let direct = Mutex(DirectWay.untried)

  /// `access` is how the descriptor was opened: `O_RDONLY` or `O_RDWR`.
  init(_ descriptor: Int32, _ path: String, access: Int32) {
    number = descriptor
    self.path = path
    self.access = access
  }

  deinit { Glibc.close(number) }

  var descriptor: Int32? { number }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      let count = write(bytes, from: done, at: offset, to: number)
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw failure(errno, "write", path)
      }
    }
  }

  func writePages(_ pages: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < pages.count,
      let (count, error) = pastCache({ write(pages, from: done, at: offset, to: $0) })
    {
      if count > 0 {
        done += count
      } else if count < 0, error == EINVAL {
        // It wants more than pages, or the rest after a short write is no longer aligned.
        closeDirectWay()
      } else if count < 0, error != EINTR {
        throw failure(error, "write", path)
      }
    }
    guard done < pages.count else { return }
    try write(UnsafeRawBufferPointer(rebasing: pages[done...]), at: offset + done)
    startWriteback(offset + done..<offset + pages.count)
  }

  private func write(
    _ bytes: UnsafeRawBufferPointer, from start: Int, at offset: Int, to descriptor: Int32
  ) -> Int {
    // SAFETY: `start` is below the buffer's count.
    pwrite(descriptor, bytes.baseAddress?.advanced(by: start), bytes.count - start, off_t(offset + start))
  }

  /// What `call` answers for the descriptor of that way, with its `errno`; `nil` when there is none.
  private func pastCache(_ call: (Int32) -> Int) -> (count: Int, error: Int32)? {
    guard let direct = directDescriptor() else { return nil }
    return withExtendedLifetime(direct) {
      let count = call(direct.number)
      return (count, errno)
    }
  }

  private func directDescriptor() -> Descriptor? {
    direct.withLock { way in
      if case .untried = way {
        // Another open of the same file, whatever became of its name.
        let descriptor = Glibc.open("/proc/self/fd/\(number)", access | O_CLOEXEC | __O_DIRECT)
        if descriptor >= 0 {
          way = .open(Descriptor(descriptor))
        } else if errno == EINVAL || errno == EOPNOTSUPP {
          way = .closed
        }
      }
      if case .open(let descriptor) = way { return descriptor }
      return nil
    }
  }

  private func closeDirectWay() { direct.withLock { $0 = .closed } }

  func endPages() { direct.withLock { if case .open = $0 { $0 = .untried } } }

  func readPages(into pages: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
    var done = 0
    while done < pages.count,
      let (count, error) = pastCache({ read(into: pages, from: done, at: offset, of: $0) })
    {
      if count > 0 {
        done += count
      } else if count == 0 {
        return done
      } else if error == EINVAL {
        // It wants more than pages, or the rest after a short read is no longer aligned.
        closeDirectWay()
      } else if error != EINTR {
        // The ordinary way tells whether it is the medium.
        break
      }
    }
    return done + (try read(into: UnsafeMutableRawBufferPointer(rebasing: pages[done...]), at: offset + done))
  }

  private func read(
    into buffer: UnsafeMutableRawBufferPointer, from start: Int, at offset: Int, of descriptor: Int32
  ) -> Int {
    // SAFETY: `start` is below the buffer's count.
    pread(descriptor, buffer.baseAddress?.advanced(by: start), buffer.count - start, off_t(offset + start))
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
    var done = 0
    while done < buffer.count {
      let count = read(into: buffer, from: done, at: offset, of: number)
      if count == 0 { break }
      if count > 0 {
        done += count
      } else if errno != EINTR {
        throw DFSError(.corrupt, "can not read \(path): \(explanation(errno))")
      }
    }
    return done
  }

  func length() throws -> Int {
    var status = stat()
    guard fstat(number, &status) == 0 else { throw failure(errno, "look at", path) }
    return Int(status.st_size)
  }

  func sync() throws {
    guard fdatasync(number) == 0 else { throw syncFailure(errno, path) }
    // What is on disk gives its pages back at once, so that the next chunk is copied into warm ones: pages that the
    // page cache never had before cost more than all the rest of a write, and three replicas need not all be cached.
    _ = posix_fadvise(number, 0, 0, POSIX_FADV_DONTNEED)
  }

  func startWriteback(_ range: Range<Int>) {
    let write: UInt32 = 2
    _ = sync_file_range(number, range.lowerBound, range.count, write)
  }

  func dropCached(_ range: Range<Int>) {
    _ = posix_fadvise(number, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_DONTNEED)
  }

  /// Where bytes go that only have to be read.
  private static let nowhere = Glibc.open("/dev/null", O_WRONLY | O_CLOEXEC)

  func prefetch(_ range: Range<Int>) throws {
    posix_fadvise(number, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_WILLNEED)
    // The advice returns at once and hides errors. Sending the pages nowhere copies nothing, waits for each of them,
    // and fails where sending them to a socket would.
    var next = off_t(range.lowerBound)
    while Int(next) < range.upperBound {
      let count = sendfile(Self.nowhere, number, &next, range.upperBound - Int(next))
      // A file that is too short is found out by its reader.
      if count == 0 { return }
      if count > 0 || errno == EINTR { continue }
      if isMediumError(errno) { throw readFailure(errno, "read", path) }
      return try touch(Int(next)..<range.upperBound)
    }
  }

  /// Reads a byte of each page: for files that can not be sent.
  private func touch(_ range: Range<Int>) throws {
    var byte: UInt8 = 0
    for offset in stride(from: range.lowerBound, to: range.upperBound, by: Page.size) + [range.upperBound - 1]
    {
      if pread(number, &byte, 1, off_t(offset)) < 0, isMediumError(errno) {
        throw readFailure(errno, "read", path)
      }
    }
  }
}

private func explanation(_ number: Int32) -> String { String(cString: strerror(number)) }

private func failure(_ number: Int32, _ verb: String, _ path: String) -> DFSError {
  let code: DFSError.Code =
    switch number {
    case ENOENT: .notFound
    case EEXIST, ENOTEMPTY: .alreadyExists
    case ENOSPC, EDQUOT, EFBIG: .exhausted
    default: .unavailable
    }
  return DFSError(code, "can not \(verb) \(path): \(explanation(number))")
}

/// As `failure`, for calls that only read: a medium that does not give back what lies there is no reason to stop
/// writing elsewhere, it is one bad file.
private func readFailure(_ number: Int32, _ verb: String, _ path: String) -> DFSError {
  isMediumError(number)
    ? DFSError(.corrupt, "can not \(verb) \(path): \(explanation(number))") : failure(number, verb, path)
}

private func isMediumError(_ number: Int32) -> Bool {
  number == EIO || number == EBADMSG || number == EUCLEAN
}

/// Whatever the kernel says, it is open which of the bytes reached the disk, and a second sync would lie.
private func syncFailure(_ number: Int32, _ path: String) -> DFSError {
  DFSError(.outcomeUnknown, "can not sync \(path): \(explanation(number))")
}
