import ArgumentParser
import DFSClient
import DFSCore
import Foundation

struct GetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get",
    abstract: "Fetch files, every byte verified.",
    discussion: """
      Examples:
        dfsd get /photos/cat.jpg             into the working directory
        dfsd get /photos/cat.jpg copy.jpg    under this name
        dfsd get /a.jpg /b.jpg photos        into a directory
        dfsd get -r /backup restored         a whole tree, with modes and times
        dfsd get /backup.tar - | tar x       to standard output

      A file appears under its name when it is complete; one that fails leaves
      nothing behind.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "Remote files, and where to: a file, a directory, or - for standard output.")
  var paths: [String]
  @Flag(name: [.customShort("r"), .long], help: "Fetch directories with everything below them.")
  var recursive = false
  @Flag(help: "Print one JSON object per file.") var json = false

  func validate() throws {
    if paths.isEmpty { throw ValidationError("name at least one remote file") }
    if paths.last == "-", json {
      throw ValidationError("--json and - exclude each other: both write to standard output")
    }
  }

  func run() async throws {
    // A single name is fetched to the working directory, as by scp's and curl's users is expected.
    let sources = try (paths.count > 1 ? Array(paths.dropLast()) : paths).map { try RemotePath($0) }
    let target = paths.count > 1 ? paths[paths.count - 1] : "."
    let command = self
    try await client.withClient { client in
      if target == "-" {
        for source in sources {
          _ = try await client.download(source, toDescriptor: STDOUT_FILENO, named: "standard output")
        }
        return
      }
      let download = TreeDownload(client: client, json: command.json)
      try await download.run(try command.plan(sources, target))
    }
  }

  private func plan(_ sources: [RemotePath], _ target: String) throws -> [TreeDownload.Item] {
    let kind = try? LocalEntry(target, following: true).kind
    let isDirectory = kind == .directory
    if sources.count > 1 || target.hasSuffix("/"), !isDirectory {
      guard kind == nil else {
        throw DFSError(.failedPrecondition, "\(target) is not a directory", metadata: ["path": target])
      }
      throw DFSError(
        .notFound, "there is no directory \(target); create it first", metadata: ["path": target])
    }
    return try sources.map { source in
      var local = target
      if isDirectory {
        guard let name = source.name else {
          throw DFSError(
            .invalidArgument, "/ has no name of its own: name a directory that does not exist yet")
        }
        local = (target.hasSuffix("/") ? target : target + "/") + name.description
      }
      return TreeDownload.Item(source: source, target: local, isRecursive: recursive)
    }
  }
}
