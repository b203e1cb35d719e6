import DFSCore
import DFSKeyValue
import Foundation
import Glibc

/// A coordinator's directory: a lock that only one process holds, a file that says what the directory is, and
/// the database beneath it. The cluster's own identity is in the database.
///
///     lock        held while the process lives
///     identity    what the directory is; written last, when the database is there
///     metadata/   the database
///     last-round  names the last acknowledged round
///
/// A directory with an identity has a database: one that is missing or empty is damage, never a new cluster.
final class DataDirectory: Sendable {
  /// What stands in the identity file of this format.
  private static let identity = "dfs coordinator data, format 1\n"

  /// Not complete yet: removed or replaced by whoever begins again.
  private static let unfinished: Set<String> = ["lock", ".identity.tmp", "metadata.new", "lost+found"]

  let path: String
  /// It has no identity yet.
  private let isNew: Bool
  /// Open for as long as this value lives: the kernel drops the lock when the process ends, however it does.
  private let lock: Int32

  /// Makes the directory when it is missing. Throws `.failedPrecondition` when another process has it, when
  /// it holds something else, or when its format is newer than this program's.
  init(_ path: String) throws {
    self.path = path
    do {
      try Self.make(path)
    } catch {
      throw DFSError(.failedPrecondition, "the data directory \(path) can not be made", cause: error)
    }
    lock = try Self.takeLock(path + "/lock")
    do { isNew = try Self.hasNoIdentity(path) } catch {
      Glibc.close(lock)
      throw error
    }
  }

  /// Takes a directory to restore into: makes it when it is missing. Throws `.failedPrecondition` when anything but
  /// an earlier restore that was cut off is in it.
  init(forRestore path: String) throws {
    self.path = path
    isNew = true
    do {
      try Self.make(path)
      let others = Set(try FileManager.default.contentsOfDirectory(atPath: path)).subtracting(Self.unfinished)
      guard others.isEmpty else {
        throw DFSError(
          .failedPrecondition,
          "\(path) is not empty (\(others.min() ?? "")): give --data a new directory, and keep the old one until all is "
            + "well")
      }
    } catch let error as DFSError { throw error } catch {
      throw DFSError(.failedPrecondition, "the directory \(path) can not be made", cause: error)
    }
    lock = try Self.takeLock(path + "/lock")
  }

  deinit { Glibc.close(lock) }

  private var database: String { path + "/metadata" }
  /// Names the last acknowledged round.
  var lastRound: String { path + "/last-round" }

  /// Opens the database; a new directory gets one first. Throws `.corrupt` for one that is damaged or gone.
  func openDatabase(_ options: RocksDBOptions) throws -> RocksDBStore {
    var options = options
    if isNew { try makeDatabase(options) }
    options.opening = .mustExist
    do { return try RocksDBStore(path: database, options: options) } catch let error as DFSError
      where error.code == .notFound
    { throw DFSError(.corrupt, "the database of \(path) is gone, or not whole", cause: error) }
  }

  /// An empty database in its place, then the identity: a crash in between leaves a directory that is made again.
  private func makeDatabase(_ options: RocksDBOptions) throws {
    let unfinished = try emptyDatabasePath()
    guard !FileManager.default.fileExists(atPath: database) else {
      return try Self.write(Self.identity, to: path + "/identity", in: path)
    }
    let store = try RocksDBStore(path: unfinished, options: options)
    store.close()
    try publish(unfinished)
  }

  /// Where a database is to be made that is not complete yet; what was there is removed.
  func emptyDatabasePath() throws -> String {
    let unfinished = path + "/metadata.new"
    if FileManager.default.fileExists(atPath: unfinished) {
      try FileManager.default.removeItem(atPath: unfinished)
    }
    return unfinished
  }

  /// Puts a complete, closed database in its place, and writes the identity.
  func publish(_ unfinished: String) throws {
    guard rename(unfinished, database) == 0 else {
      throw DFSError(
        .unavailable, "\(database) can not be put in its place: \(String(cString: strerror(errno)))")
    }
    try Self.sync(path)
    try Self.write(Self.identity, to: path + "/identity", in: path)
  }

  /// Names and times of all files are nobody else's business. A directory that is there keeps its mode.
  private static func make(_ path: String) throws {
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

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

  private static func hasNoIdentity(_ path: String) throws -> Bool {
    let file = path + "/identity"
    if let bytes = FileManager.default.contents(atPath: file) {
      guard bytes == Data(identity.utf8) else {
        throw DFSError(
          .failedPrecondition,
          "\(file) does not say that this is a coordinator's directory of format 1; give --data another directory"
        )
      }
      return false
    }
    // A database without an identity: everything was there but the last step.
    let others = Set(try FileManager.default.contentsOfDirectory(atPath: path)).subtracting(unfinished)
    guard others.isEmpty || others == ["metadata"] else {
      throw DFSError(
        .failedPrecondition,
        "\(path) is not empty and has no identity file: it is no coordinator's directory; give --data another one"
      )
    }
    return true
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
    try sync(directory)
  }

  /// Makes the names in a directory durable.
  private static func sync(_ directory: String) throws {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer { if descriptor >= 0 { Glibc.close(descriptor) } }
    guard descriptor >= 0, fsync(descriptor) == 0 else {
      throw DFSError(.unavailable, "\(directory) can not be synced: \(String(cString: strerror(errno)))")
    }
  }
}
