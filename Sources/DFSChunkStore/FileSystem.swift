package import DFSCore

/// Every call that the chunk store makes on a disk, so that tests can stop, fail or forget any of them.
///
/// Codes: `.notFound`, `.alreadyExists`, `.exhausted` (nothing was done, the disk is full), `.corrupt` (a
/// read failed), `.outcomeUnknown` (a sync failed), `.unavailable` (anything else).
package protocol FileSystem: Sendable {
  /// Does nothing when it exists. Its name is durable after the parent was synced.
  func makeDirectory(_ path: String) throws
  /// The names in a directory, in no order, without `.` and `..`.
  func entries(of path: String) throws -> [String]
  func open(_ path: String, _ mode: OpenMode) throws -> any OpenFile
  /// The length of a file, `nil` when there is none.
  func length(of path: String) throws -> Int?
  /// Atomic; durable after the directories were synced. Directories can be renamed too.
  func rename(_ path: String, to target: String, _ replacement: Replacement) throws
  func remove(_ path: String) throws
  /// Makes the names in the directory durable, as they are now.
  func syncDirectory(_ path: String) throws
  /// Takes an exclusive lock that ends with the value. Throws `.unavailable` when another process has it.
  func lock(_ path: String) throws -> any FileLock
  func space(at path: String) throws -> FileSystemSpace
}

package enum OpenMode: Sendable {
  case read
  /// For reading and writing; must not exist.
  case create
}

package enum Replacement: Sendable {
  /// Throws `.alreadyExists` when the target exists.
  case refused
  case allowed
}

package struct FileSystemSpace: Hashable, Sendable {
  package var capacity: ByteCount
  /// What this process may still write.
  package var free: ByteCount

  package init(capacity: ByteCount, free: ByteCount) {
    self.capacity = capacity
    self.free = free
  }
}

package protocol FileLock: AnyObject, Sendable {}

/// Closed with its last reference. Calls are safe from several threads.
package protocol OpenFile: AnyObject, Sendable {
  /// Writes everything. After an error part of it may be written.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws
  /// As `write`, for whole pages of 4 KiB from memory and at an offset that are multiples of that; past the page cache
  /// where the file system can.
  func writePages(_ pages: UnsafeRawBufferPointer, at offset: Int) throws
  /// Reads as much as there is, up to the buffer's length.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int
  /// As `read`, for whole pages of 4 KiB into memory and from an offset that are multiples of that; past the page cache
  /// where the file system can.
  func readPages(into pages: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int
  /// Nobody reads or writes pages for now: closes what that keeps open.
  func endPages()
  func length() throws -> Int
  /// Makes the bytes and the length durable.
  func sync() throws
  /// Asks the kernel to begin writing the range, so that a later `sync` is short. Promises nothing.
  func startWriteback(_ range: Range<Int>)
  /// Brings the range into the page cache; waits for it. Throws `.corrupt` when the medium does not give it back: a
  /// `sendfile` would find out in the middle of an answer, and could tell nobody.
  func prefetch(_ range: Range<Int>) throws
  /// Takes synced bytes of the range out of the page cache, so that the next read asks the medium. Promises nothing.
  func dropCached(_ range: Range<Int>)
  /// For `sendfile`; `nil` when the file has none.
  var descriptor: Int32? { get }
}

extension OpenFile {
  package func writePages(_ pages: UnsafeRawBufferPointer, at offset: Int) throws {
    try write(pages, at: offset)
    startWriteback(offset..<offset + pages.count)
  }
  package func readPages(into pages: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
    try read(into: pages, at: offset)
  }
  package func endPages() {}
}

extension FileSystem {
  /// Reads a file of at most `limit` bytes; `nil` when there is none.
  func contents(of path: String, limit: Int) throws -> [UInt8]? {
    let file: any OpenFile
    do { file = try open(path, .read) } catch let error as DFSError where error.code == .notFound {
      return nil
    }
    let length = try file.length()
    guard length <= limit else { throw DFSError(.corrupt, "\(path) is longer than \(limit) bytes") }
    var bytes = [UInt8](repeating: 0, count: length)
    let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
    return Array(bytes.prefix(count))
  }

  /// Replaces a file's contents: the old or the new ones are there at any moment, the new ones for good when
  /// it returns.
  func replace(_ name: String, in directory: String, with bytes: [UInt8]) throws {
    let temporary = "\(directory)/\(name).new"
    do { try remove(temporary) } catch let error as DFSError where error.code == .notFound {}
    let file = try open(temporary, .create)
    try bytes.withUnsafeBytes { try file.write($0, at: 0) }
    try file.sync()
    try rename(temporary, to: "\(directory)/\(name)", .allowed)
    try syncDirectory(directory)
  }
}
