import DFSClient
import DFSCore
import Foundation
import Synchronization
import TestSupport

/// A way to use the cluster. Everything throws `DFSError`, whose code says whether it failed for sure.
protocol FileAccess: Sendable {
  var name: String { get }
  func put(_ bytes: [UInt8], _ path: String) async throws
  func read(_ path: String) async throws -> [UInt8]
  /// Returns the name of the deletion, where there is a trash.
  func remove(_ path: String) async throws -> String?
  func undelete(_ deletion: String, to path: String) async throws
  func move(_ source: String, to target: String) async throws
  func makeDirectory(_ path: String) async throws
}

/// The Swift library, in this process.
struct LibraryAccess: FileAccess {
  let client: DFSClient
  var name: String { "library" }

  func put(_ bytes: [UInt8], _ path: String) async throws {
    try await client.upload(bytes: bytes, to: try RemotePath(path))
  }
  func read(_ path: String) async throws -> [UInt8] { try await client.read(try RemotePath(path)) }
  func remove(_ path: String) async throws -> String? {
    try await client.remove(try RemotePath(path))?.description
  }
  func undelete(_ deletion: String, to path: String) async throws {
    guard let id = DeletionID(deletion) else {
      throw DFSError(.invalidArgument, "\(deletion) is no deletion")
    }
    try await client.undelete(id, to: try RemotePath(path))
  }
  func move(_ source: String, to target: String) async throws {
    try await client.move(try RemotePath(source), to: try RemotePath(target))
  }
  func makeDirectory(_ path: String) async throws {
    try await client.makeDirectory(try RemotePath(path), makeParents: true)
  }
}

/// The command line, one process per operation.
final class CommandAccess: FileAccess {
  let cluster: ProcessCluster
  let scratch: TemporaryDirectory
  /// What the cluster does not answer within is given up.
  let patience: Duration
  private let count = Mutex(0)

  init(_ cluster: ProcessCluster, patience: Duration) throws {
    self.cluster = cluster
    self.patience = patience
    scratch = try TemporaryDirectory("dfs-chaos-files")
  }

  var name: String { "command line" }

  func put(_ bytes: [UInt8], _ path: String) async throws {
    let file = newFile()
    defer { try? FileManager.default.removeItem(atPath: file) }
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    _ = try await run("put", file, path)
  }

  func read(_ path: String) async throws -> [UInt8] {
    let file = newFile()
    defer { try? FileManager.default.removeItem(atPath: file) }
    _ = try await run("get", path, file)
    return [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
  }

  func remove(_ path: String) async throws -> String? {
    let output = try await run("rm", "--json", path)
    let object = try? JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
    return object?["deletion"] as? String
  }

  func undelete(_ deletion: String, to path: String) async throws {
    _ = try await run("undelete", deletion, "--to", path)
  }

  func move(_ source: String, to target: String) async throws { _ = try await run("mv", source, target) }

  func makeDirectory(_ path: String) async throws { _ = try await run("mkdir", "-p", path) }

  private func newFile() -> String {
    "\(scratch.path)/\(count.withLock { $0 += 1; return $0 })"
  }

  private func run(_ arguments: String...) async throws -> String {
    let run: ProgramRun
    do {
      run = try await cluster.dfsd(
        arguments + ["--timeout", "\(patience.components.seconds)s"], limit: patience * 6)
    } catch is ProgramRun.TimedOut {
      throw DFSError(.outcomeUnknown, "dfsd \(arguments.joined(separator: " ")) did not end")
    }
    guard run.status == 0 else { throw DFSError(Self.code(run.status), run.errors) }
    return run.output
  }

  /// What `dfsd --help` says of exit statuses.
  private static func code(_ status: Int32) -> DFSError.Code {
    switch status {
    case 2, 64: .invalidArgument
    case 3: .notFound
    case 4: .alreadyExists
    case 5: .failedPrecondition
    case 6: .corrupt
    case 7: .outcomeUnknown
    case 8: .unavailable
    case 9: .exhausted
    case 11: .unimplemented
    default: .internal
    }
  }
}

extension History.Outcome {
  /// What a failed change may have done. Everything but these codes is said only when it is sure.
  init(_ error: any Error) {
    switch (error as? DFSError)?.code {
    case nil, .outcomeUnknown, .deadlineExceeded, .cancelled, .internal: self = .unknown
    default: self = .refused
    }
  }
}
