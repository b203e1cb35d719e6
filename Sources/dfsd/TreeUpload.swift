import DFSClient
import DFSCore
import Foundation

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

  func run(_ items: [Item]) async throws {
    for item in items where item.source != "-" && !item.isRecursive {
      guard try LocalEntry(item.source, following: true).kind != .directory else {
        throw DFSError(
          .failedPrecondition, "\(item.source) is a directory; add -r to store it with everything below")
      }
    }
    let progress = try ProgressLine("put", total: Terminal.isErrorTerminal ? total(items) : nil)
    defer { progress?.clear() }
    for item in items {
      if item.source == "-" {
        try await store("-", item.target, progress)
      } else {
        try await storeTree(item, progress)
      }
    }
  }

  /// The length of everything, for a person who watches; a second walk costs little beside the copying.
  private func total(_ items: [Item]) throws -> Int64? {
    var total: Int64 = 0
    for item in items {
      guard item.source != "-" else { return nil }
      let tree = try LocalTree(item.source)
      while let found = try tree.next() { total += found.entry.length }
    }
    return total
  }

  private func storeTree(_ item: Item, _ progress: ProgressLine?) async throws {
    var directories: [(RemotePath, mode: UInt16, modified: Timestamp)] = []
    let tree = try LocalTree(item.source)
    try await withThrowingTaskGroup(of: Void.self) { group in
      var running = 0
      while let found = try tree.next() {
        let names = try found.names.map { try FileName($0) }
        let target = RemotePath(components: item.target.components + names)
        switch found.entry.kind {
        case .directory:
          _ = try await client.makeDirectory(target, makeParents: true)
          directories.append((target, found.entry.mode, found.entry.modified))
        case .link: remark("\(found.path) is a symbolic link; left out", progress)
        case .other: remark("\(found.path) is neither file nor directory; left out", progress)
        case .file:
          if running >= Self.filesAtOnce {
            try await group.next()
            running -= 1
          }
          running += 1
          group.addTask { try await store(found.path, target, progress) }
        }
      }
      try await group.waitForAll()
    }
    // Deepest first: a child's change must not touch its parent's time again.
    for (path, mode, modified) in directories.reversed() {
      _ = try await client.setAttributes(of: path, mode: mode, modified: modified)
    }
  }

  private func store(_ source: String, _ target: RemotePath, _ progress: ProgressLine?) async throws {
    let receipt: UploadReceipt
    if source == "-" {
      receipt = try await client.upload(
        descriptor: STDIN_FILENO, named: "standard input", to: target, options: options,
        progress: progress?.handler())
    } else {
      receipt = try await client.upload(
        file: source, to: target, options: options, progress: progress?.handler())
    }
    let stored = receipt.attributes
    if receipt.replicas < stored.replicas {
      remark(
        "\(target) has \(receipt.replicas) of \(stored.replicas) copies; the others follow when there are nodes for them",
        progress)
    }
    guard json else { return }
    try JSONOutput.print(
      StoredOutput(
        path: target.description, source: source, length: stored.length.rawValue,
        revision: stored.revision.rawValue, root: stored.root?.description, replicas: receipt.replicas,
        rewrittenChunks: receipt.rewrittenChunks), pretty: false)
  }

  private func remark(_ text: String, _ progress: ProgressLine?) {
    progress?.clear()
    Terminal.note("dfsd: \(HumanText.name(text))")
  }
}
