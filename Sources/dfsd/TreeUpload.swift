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

  /// Goes on after what concerns one file only; what comes back tells how it went.
  func run(_ items: [Item]) async throws -> Failures {
    for item in items where item.source != "-" && !item.isRecursive {
      guard try LocalEntry(item.source, following: true).kind != .directory else {
        throw DFSError(
          .failedPrecondition, "\(item.source) is a directory; add -r to store it with everything below")
      }
    }
    let progress = try ProgressLine("put", total: Terminal.isErrorTerminal ? total(items) : nil)
    defer { progress?.clear() }
    var failures = Failures()
    for item in items {
      do {
        if item.source == "-" {
          try await store("-", item.target, progress)
        } else {
          try await storeTree(item, progress, &failures)
        }
      } catch {
        // Alone, it is the command's own error.
        guard items.count > 1 else { throw error }
        progress?.clear()
        try failures.take(error)
      }
    }
    return failures
  }

  /// The length of everything, for a person who watches; a second walk costs little beside the copying.
  private func total(_ items: [Item]) throws -> Int64? {
    var total: Int64 = 0
    for item in items {
      guard item.source != "-" else { return nil }
      let tree = try LocalTree(item.source)
      while true {
        // What fails here fails again when it is to be stored, and is told then.
        do {
          guard let found = try tree.next() else { break }
          total += found.entry.length
        } catch { continue }
      }
    }
    return total
  }

  private func storeTree(_ item: Item, _ progress: ProgressLine?, _ failures: inout Failures) async throws {
    guard item.isRecursive else { return try await store(item.source, item.target, progress) }
    var directories: [(RemotePath, mode: UInt16, modified: Timestamp)] = []
    let tree = try LocalTree(item.source)
    try await withThrowingTaskGroup(of: (any Error)?.self) { group in
      var running = 0
      func finishOne() async throws {
        running -= 1
        guard let error = try await group.next() ?? nil else { return }
        progress?.clear()
        try failures.take(error)
      }
      while true {
        let found: LocalTree.Item
        do {
          guard let next = try tree.next() else { break }
          found = next
        } catch {
          progress?.clear()
          try failures.take(error)
          continue
        }
        if let reason = found.reasonToLeaveOut {
          remark("\(found.path) \(reason); left out", progress)
          failures.leaveOut()
          continue
        }
        let names = try found.names.map { try FileName($0) }
        let target = RemotePath(components: item.target.components + names)
        guard found.entry.kind == .file else {
          _ = try await client.makeDirectory(target, makeParents: true)
          directories.append((target, found.entry.mode, found.entry.modified))
          continue
        }
        if running >= Self.filesAtOnce { try await finishOne() }
        running += 1
        group.addTask {
          do { try await store(found.path, target, progress) } catch { return error }
          return nil
        }
      }
      while running > 0 { try await finishOne() }
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

extension LocalTree.Item {
  /// Why it can not be stored, if it can not.
  fileprivate var reasonToLeaveOut: String? {
    switch entry.kind {
    case .file, .directory: nil
    case .link: "is a symbolic link"
    case .other: "is neither file nor directory"
    case .unnameable: "has a name that is not UTF-8"
    }
  }
}
