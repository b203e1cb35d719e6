import DFSClient
import DFSCore
import Foundation

/// What a local path is.
struct LocalEntry: Sendable {
  enum Kind: Sendable {
    case file, directory, link, other
    /// Its name is not UTF-8, so no remote path can have it.
    case unnameable
  }

  var kind: Kind
  var mode: UInt16
  var modified: Timestamp
  var length: Int64

  /// `following` looks at what a link leads to.
  init(_ path: String, following: Bool) throws {
    var status = Foundation.stat()
    guard (following ? stat(path, &status) : lstat(path, &status)) == 0 else {
      throw localFailure(path, errno)
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: kind = .file
    case S_IFDIR: kind = .directory
    case S_IFLNK: kind = .link
    default: kind = following ? .file : .other
    }
    mode = UInt16(status.st_mode & 0o7777)
    modified = Timestamp(
      rawValue: Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec))
    length = kind == .file ? Int64(status.st_size) : 0
  }
}

extension LocalEntry {
  fileprivate static let unnameable = LocalEntry(
    kind: .unnameable, mode: 0, modified: Timestamp(rawValue: 0), length: 0)

  private init(kind: Kind, mode: UInt16, modified: Timestamp, length: Int64) {
    (self.kind, self.mode, self.modified, self.length) = (kind, mode, modified, length)
  }
}

/// Everything at and below a local path, one entry at a time: a directory before what is in it, in no other
/// order. A directory of any size takes no memory. Links are told, never followed.
final class LocalTree {
  struct Item {
    var path: String
    /// The names from the top to this entry.
    var names: [String]
    var entry: LocalEntry
  }

  private struct Level {
    var path: String
    var names: [String]
    var stream: OpaquePointer
  }

  private var levels: [Level] = []
  private var first: Item?

  /// The top itself may be a link: it was named by a person.
  init(_ path: String) throws {
    first = Item(path: path, names: [], entry: try LocalEntry(path, following: true))
  }

  deinit {
    for level in levels { closedir(level.stream) }
  }

  /// The next entry; `nil` at the end. After an error, which concerns one entry, the walk goes on with the rest.
  func next() throws -> Item? {
    if let top = first {
      first = nil
      if top.entry.kind == .directory { try enter(top) }
      return top
    }
    while let level = levels.last {
      guard let bytes = try nextName(level) else {
        closedir(level.stream)
        levels.removeLast()
        continue
      }
      guard let name = String(validating: bytes, as: UTF8.self) else {
        let shown = String(decoding: bytes, as: UTF8.self)
        return Item(path: level.path + "/" + shown, names: level.names + [shown], entry: .unnameable)
      }
      let path = level.path + "/" + name
      let item = Item(path: path, names: level.names + [name], entry: try LocalEntry(path, following: false))
      if item.entry.kind == .directory { try enter(item) }
      return item
    }
    return nil
  }

  private func enter(_ item: Item) throws {
    guard levels.count < RemotePath.deepest else {
      throw DFSError(.invalidArgument, "\(item.path) is nested deeper than \(RemotePath.deepest) directories")
    }
    guard let stream = opendir(item.path) else { throw localFailure(item.path, errno) }
    levels.append(Level(path: item.path, names: item.names, stream: stream))
  }

  private func nextName(_ level: Level) throws -> [UInt8]? {
    while true {
      errno = 0
      guard let entry = readdir(level.stream) else {
        guard errno == 0 else {
          let failure = localFailure(level.path, errno)
          closedir(level.stream)
          levels.removeLast()
          throw failure
        }
        return nil
      }
      // SAFETY: `d_name` is a NUL-terminated string within the entry, which lives until the next `readdir`.
      let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
      guard bytes != [0x2E], bytes != [0x2E, 0x2E] else { continue }
      return bytes
    }
  }
}

private func localFailure(_ path: String, _ number: Int32) -> DFSError {
  let reason = String(cString: strerror(number))
  return DFSError(
    number == EACCES ? .permissionDenied : .notFound, "\(path): \(reason)", metadata: ["path": path])
}
