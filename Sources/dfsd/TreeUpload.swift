import DFSClient
import DFSCore
import Foundation
import NIOConcurrencyHelpers

/// Stores files and directory trees, several files at a time. Directories come before what is in them; their
/// times are set last, because storing a file changes them.
struct TreeUpload: Sendable {
  struct Item: Sendable {
    var source: String
    var target: RemotePath
    var isRecursive: Bool
  }

  /// Small files spend their time waiting for syncs, so many go side by side and share them.
  static let filesAtOnce = 16

  let client: DFSClient
  let options: UploadOptions
  let json: Bool

  private struct FileTask: Sendable {
    var source: String
    var target: RemotePath
  }

  func run(_ items: [Item]) async throws {
    var files: [FileTask] = []
    var directories: [(LocalEntry, RemotePath)] = []
    for item in items { try collect(item, &files, &directories) }
    let total = files.contains { $0.source == "-" } ? nil : files.reduce(Int64(0)) { $0 + LocalEntry.length($1.source) }
    let progress = ProgressLine(files.count == 1 ? "put" : "put \(files.count) files", total: total)
    defer { progress?.clear() }
    for (_, target) in directories {
      _ = try await client.makeDirectory(target, makeParents: true)
    }
    try await store(files, progress)
    // Deepest first: a child's change must not touch its parent's time again.
    for (entry, target) in directories.reversed() {
      _ = try await client.setAttributes(of: target, mode: entry.mode, modified: entry.modified)
    }
  }

  private func store(_ files: [FileTask], _ progress: ProgressLine?) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      var running = 0
      for file in files {
        if running >= Self.filesAtOnce {
          try await group.next()
          running -= 1
        }
        running += 1
        group.addTask { try await store(file, progress) }
      }
      try await group.waitForAll()
    }
  }

  private func store(_ file: FileTask, _ progress: ProgressLine?) async throws {
    let receipt: UploadReceipt
    if file.source == "-" {
      receipt = try await client.upload(
        descriptor: STDIN_FILENO, named: "standard input", to: file.target, options: options,
        progress: progress?.handler())
    } else {
      receipt = try await client.upload(
        file: file.source, to: file.target, options: options, progress: progress?.handler())
    }
    let stored = receipt.attributes
    if receipt.replicas < stored.replicas {
      progress?.clear()
      Terminal.note(
        "dfsd: \(file.target) has \(receipt.replicas) of \(stored.replicas) copies; the others are made when their nodes are back")
    }
    guard json else { return }
    try JSONOutput.print(
      StoredOutput(
        path: file.target.description, source: file.source, length: stored.length.rawValue,
        revision: stored.revision.rawValue, root: stored.root?.description, replicas: receipt.replicas,
        rewrittenChunks: receipt.rewrittenChunks), pretty: false)
  }

  private func collect(
    _ item: Item, _ files: inout [FileTask], _ directories: inout [(LocalEntry, RemotePath)]
  ) throws {
    guard item.source != "-" else { return files.append(FileTask(source: "-", target: item.target)) }
    // The source itself may be a link: it was named by a person.
    let entry = try LocalEntry(item.source, following: true)
    guard entry.kind == .directory else {
      return files.append(FileTask(source: item.source, target: item.target))
    }
    guard item.isRecursive else {
      throw DFSError(.failedPrecondition, "\(item.source) is a directory; add -r to store it with everything below")
    }
    var pending: [(String, RemotePath)] = [(item.source, item.target)]
    while let (local, remote) = pending.popLast() {
      directories.append((try LocalEntry(local, following: true), remote))
      for name in try FileManager.default.contentsOfDirectory(atPath: local).sorted() {
        let path = local + "/" + name
        let child = try LocalEntry(path, following: false)
        let target = remote.appending(try FileName(name))
        switch child.kind {
        case .directory: pending.append((path, target))
        case .file: files.append(FileTask(source: path, target: target))
        case .link: Terminal.note("dfsd: \(HumanText.name(path)) is a symbolic link; left out")
        case .other: Terminal.note("dfsd: \(HumanText.name(path)) is neither file nor directory; left out")
        }
      }
    }
  }
}

/// What a local path is.
struct LocalEntry: Sendable {
  enum Kind: Sendable { case file, directory, link, other }

  var kind: Kind
  var mode: UInt16
  var modified: Timestamp
  var length: Int64

  init(_ path: String, following: Bool) throws {
    var status = Foundation.stat()
    guard (following ? stat(path, &status) : lstat(path, &status)) == 0 else {
      let reason = String(cString: strerror(errno))
      throw DFSError(errno == EACCES ? .permissionDenied : .notFound, "\(path): \(reason)", metadata: ["path": path])
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: kind = .file
    case S_IFDIR: kind = .directory
    case S_IFLNK: kind = .link
    default: kind = following ? .file : .other
    }
    mode = UInt16(status.st_mode & 0o7777)
    modified = Timestamp(rawValue: Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec))
    length = Int64(status.st_size)
  }

  static func length(_ path: String) -> Int64 { (try? LocalEntry(path, following: true).length) ?? 0 }
}
