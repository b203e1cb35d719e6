import DFSClient
import DFSCore
import Foundation

/// Fetches files and directory trees, several files at a time. Directories come before what is in them; their
/// modes and times are set last, because a directory may be read-only and every file changes its time.
struct TreeDownload: Sendable {
  struct Item: Sendable {
    var source: RemotePath
    var target: String
    var isRecursive: Bool
  }

  static let filesAtOnce = 8

  let client: DFSClient
  let json: Bool

  func run(_ items: [Item]) async throws {
    for item in items {
      let attributes = try await client.stat(item.source)
      if attributes.kind == .file {
        let progress = ProgressLine("get", total: attributes.length.rawValue)
        defer { progress?.clear() }
        try await fetch(item.source, item.target, progress)
      } else if item.isRecursive {
        try await fetchTree(item.source, attributes, item.target)
      } else {
        throw DFSError(
          .failedPrecondition, "\(item.source) is a directory; add -r to fetch it with everything below")
      }
    }
  }

  private func fetch(_ source: RemotePath, _ target: String, _ progress: ProgressLine?) async throws {
    let attributes = try await client.download(source, to: target, progress: progress?.handler())
    guard json else { return }
    try JSONOutput.print(
      DoneOutput(action: "get", path: source.description, target: target, length: attributes.length.rawValue),
      pretty: false)
  }

  private func fetchTree(_ source: RemotePath, _ attributes: FileAttributes, _ target: String) async throws {
    var directories: [(String, FileAttributes)] = [(target, attributes)]
    try makeDirectory(target)
    let progress = ProgressLine("get \(source)", total: nil)
    defer { progress?.clear() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      var running = 0
      var token: PageToken?
      repeat {
        let page = try await client.page(of: source, recursive: true, after: token)
        if page.isSnapshotLost {
          Terminal.note("dfsd: \(source) is listed for so long that the rest shows a later moment")
        }
        for entry in page.entries {
          // Refuses ".." and its like, whatever a server sends: nothing lands outside of the target.
          let relative = try RemotePath("/" + entry.path)
          let remote = RemotePath(components: source.components + relative.components)
          let local = target + relative.description
          guard entry.attributes.kind == .file else {
            try makeDirectory(local)
            directories.append((local, entry.attributes))
            continue
          }
          if running >= Self.filesAtOnce {
            try await group.next()
            running -= 1
          }
          running += 1
          group.addTask { try await fetch(remote, local, progress) }
        }
        token = page.next
      } while token != nil
      try await group.waitForAll()
    }
    for (path, attributes) in directories.reversed() { try finish(path, attributes) }
  }

  private func makeDirectory(_ path: String) throws {
    guard mkdir(path, 0o700) != 0, errno != EEXIST else { return }
    let reason = String(cString: strerror(errno))
    throw DFSError(.failedPrecondition, "\(path) cannot be created: \(reason)", metadata: ["path": path])
  }

  private func finish(_ path: String, _ attributes: FileAttributes) throws {
    let time = timespec(
      tv_sec: Int(attributes.modified.seconds), tv_nsec: Int(attributes.modified.nanoseconds))
    guard chmod(path, mode_t(attributes.mode)) == 0, utimensat(AT_FDCWD, path, [time, time], 0) == 0 else {
      let reason = String(cString: strerror(errno))
      throw DFSError(
        .failedPrecondition, "\(path) keeps another mode or time: \(reason)", metadata: ["path": path])
    }
  }
}
