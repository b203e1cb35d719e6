import DFSCore
import Foundation
import Glibc

/// A coordinator's directory: a lock that only one process holds, a file that says what the directory is, and
/// the database beneath it. The cluster's own identity is in the database.
final class DataDirectory: Sendable {
  /// What stands in the identity file of this format.
  private static let identity = "dfs coordinator data, format 1\n"

  let path: String
  /// Open for as long as this value lives: the kernel drops the lock when the process ends, however it does.
  private let lock: Int32

  /// Makes the directory when it is missing. Throws `.failedPrecondition` when another process has it, when
  /// it holds something else, or when its format is newer than this program's.
  init(_ path: String) throws {
    self.path = path
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw DFSError(.failedPrecondition, "the data directory \(path) can not be made", cause: error)
    }
    lock = try Self.takeLock(path + "/lock")
    do { try Self.checkIdentity(path) } catch {
      Glibc.close(lock)
      throw error
    }
  }

  deinit { Glibc.close(lock) }

  var database: String { path + "/metadata" }
  /// Names the last acknowledged round.
  var lastRound: String { path + "/last-round" }

  private static func takeLock(_ file: String) throws -> Int32 {
    let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw DFSError(.failedPrecondition, "\(file) can not be opened: \(String(cString: strerror(errno)))")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      Glibc.close(descriptor)
      throw DFSError(
        .failedPrecondition, "another process uses the data directory that \(file) is in; stop it first")
    }
    return descriptor
  }

  private static func checkIdentity(_ path: String) throws {
    let file = path + "/identity"
    if let bytes = FileManager.default.contents(atPath: file) {
      guard bytes == Data(identity.utf8) else {
        throw DFSError(
          .failedPrecondition,
          "\(file) does not say that this is a coordinator's directory of format 1; give --data another directory"
        )
      }
      return
    }
    let others = try FileManager.default.contentsOfDirectory(atPath: path).filter {
      $0 != "lock" && $0 != ".identity.tmp"
    }
    guard others.isEmpty else {
      throw DFSError(
        .failedPrecondition,
        "\(path) is not empty and has no identity file: it is no coordinator's directory; give --data another one"
      )
    }
    try write(identity, to: file, in: path)
  }

  /// Written beside its name, synced, then renamed: a crash leaves the file whole or absent.
  private static func write(_ text: String, to file: String, in directory: String) throws {
    func fail(_ what: String) -> DFSError {
      DFSError(.unavailable, "\(file) can not be \(what): \(String(cString: strerror(errno)))")
    }
    let temporary = directory + "/.identity.tmp"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw fail("written") }
    defer { Glibc.close(descriptor) }
    let bytes = Array(text.utf8)
    guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else { throw fail("written") }
    guard fsync(descriptor) == 0 else { throw fail("synced") }
    guard rename(temporary, file) == 0 else { throw fail("published") }
    let parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard parent >= 0 else { throw fail("published") }
    defer { Glibc.close(parent) }
    guard fsync(parent) == 0 else { throw fail("published") }
  }
}
