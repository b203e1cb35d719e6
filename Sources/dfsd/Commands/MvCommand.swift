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
        try await client.move(source, to: destination, replacing: command.noReplace ? .refused : .allowed)
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
  let isDirectory: Bool

  init(_ path: RemotePath, _ client: DFSClient) async throws {
    self.path = path
    do {
      isDirectory = try await client.stat(path).kind == .directory
    } catch let error as DFSError where error.code == .notFound {
      isDirectory = false
    }
  }

  func requireDirectory() throws {
    guard !isDirectory else { return }
    throw DFSError(.failedPrecondition, "\(path) is not a directory; create it with dfsd mkdir -p \(path)")
  }

  func destination(for source: RemotePath) throws -> RemotePath {
    guard isDirectory else { return path }
    guard let name = source.name else { throw DFSError(.invalidArgument, "/ cannot be moved or copied") }
    return path.appending(name)
  }
}
