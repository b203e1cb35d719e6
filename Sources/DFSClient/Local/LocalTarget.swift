import DFSCore
import Foundation

/// Where a download goes.
enum LocalTarget: Sendable {
  /// Exists and is no regular file: written to as it is.
  case special(LocalFile)
  case temporary(TemporaryFile)

  /// Blocks. Throws `.failedPrecondition` when the path is a directory.
  init(_ path: String) throws {
    var status = stat()
    if stat(path, &status) == 0 {
      let state = LocalFile.State(status)
      if state.isDirectory {
        throw DFSError(.failedPrecondition, "\(path) is a directory", metadata: ["path": path])
      }
      guard state.isRegular else {
        self = .special(try LocalFile(writing: path))
        return
      }
    }
    self = .temporary(try TemporaryFile(beside: path))
  }
}

/// A file that is not complete yet, in the directory where it is to appear.
struct TemporaryFile: Sendable {
  let file: LocalFile
  private let target: String

  init(beside target: String) throws {
    self.target = target
    let url = URL(fileURLWithPath: target)
    let tag = String(UInt32.random(in: 0...UInt32.max), radix: 16)
    // A name keeps within 255 bytes, however long the target's is.
    let name = ".\(url.lastPathComponent.prefix(40)).\(tag).dfs-part"
    let directory = url.deletingLastPathComponent().path
    do {
      file = try LocalFile(creating: directory + "/" + name)
    } catch var error as DFSError {
      // The person knows the target, not our temporary name.
      error.message =
        error.code == .notFound
        ? "there is no directory \(directory); create it first" : "\(target): \(error.message)"
      error.metadata["path"] = target
      throw error
    }
  }

  /// Gives the complete file its final name, mode and time.
  func publish(mode: UInt16, modified: Timestamp) throws {
    try file.setAttributes(mode: mode, modified: modified)
    guard rename(file.path, target) == 0 else { throw LocalFile.failure(errno, target, "replaced") }
  }

  func discard() { unlink(file.path) }
}
