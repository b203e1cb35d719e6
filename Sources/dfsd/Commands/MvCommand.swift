import ArgumentParser
import DFSClient
import DFSCore

struct MvCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mv",
    abstract: "Move or rename files and whole directories, each at one moment.",
    discussion: """
      Examples:
        dfsd mv /draft.txt /final.txt
        dfsd mv /a.jpg /b.jpg /photos        into a directory
      """)

  @OptionGroup var client: ClientOptions
  @Argument(
    help: ArgumentHelp("Remote paths, and last the new name or a directory.", valueName: "source… target"))
  var paths: [String]
  @Flag(name: [.customShort("n"), .long], help: "Never replace a file.") var noReplace = false
  @Flag(help: "Print one JSON object per move.") var json = false

  func validate() throws {
    if paths.count < 2 { throw ValidationError("name at least one source and the target") }
  }

  func run() async throws {
    let sources = try paths.dropLast().map { try RemotePath($0) }
    let isDirectoryMeant = sources.count > 1 || paths[paths.count - 1].hasSuffix("/")
    let target = try RemotePath(paths[paths.count - 1])
    let command = self
    try await client.withClient { client in
      let place = try await RemoteTarget(target, client)
      if isDirectoryMeant { try place.requireDirectory() }
      for source in sources {
        let destination = try place.destination(for: source)
        try await place.inside(destination, from: source) {
          try await client.move(source, to: destination, replacing: command.noReplace ? .refused : .allowed)
        }
        if command.json {
          try JSONOutput.print(
            DoneOutput(action: "mv", path: source.description, target: destination.description, length: nil),
            pretty: false)
        }
      }
    }
  }
}

/// A remote target of `mv` and `cp`: an existing directory takes things under their own names.
struct RemoteTarget: Sendable {
  let path: RemotePath
  /// Nothing when nothing is there.
  private let kind: EntryKind?

  init(_ path: RemotePath, _ client: DFSClient) async throws {
    self.path = path
    do {
      kind = try await client.stat(path).kind
    } catch let error as DFSError where error.code == .notFound {
      kind = nil
    }
  }

  private var isDirectory: Bool { kind == .directory }

  func requireDirectory() throws {
    switch kind {
    case .directory: return
    case nil: throw DFSError(.notFound, "there is no directory \(path); create it with dfsd mkdir -p \(path)")
    default: throw DFSError(.failedPrecondition, "\(path) is not a directory")
    }
  }

  /// Runs `body`, which makes `destination`. When a directory above that is missing, the error tells what to do.
  func inside(
    _ destination: RemotePath, from source: RemotePath, _ body: () async throws -> Void
  ) async throws {
    do { try await body() } catch var error as DFSError where error.code == .notFound {
      guard let parent = destination.parent, let path = error.metadata["path"],
        let missing = try? RemotePath(path), parent.starts(with: missing), !source.starts(with: missing)
      else { throw error }
      error.message += "; create it with dfsd mkdir -p \(parent)"
      throw error
    }
  }

  func destination(for source: RemotePath) throws -> RemotePath {
    guard isDirectory else { return path }
    guard let name = source.name else { throw DFSError(.invalidArgument, "/ cannot be moved or copied") }
    return path.appending(name)
  }
}
