import ArgumentParser
import DFSClient
import DFSCore

struct RmCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm",
    abstract: "Remove files, empty directories, or whole trees.",
    discussion: """
      Examples:
        dfsd rm /old.txt
        dfsd rm -r /old-photos      a tree, at one moment
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "What goes.") var paths: [String]
  @Flag(name: [.customShort("r"), .long], help: "Remove directories with everything below them.")
  var recursive = false
  @Flag(name: [.customShort("f"), .long], help: "What does not exist is no error.") var force = false
  @Option(help: ArgumentHelp("Fail unless the name leads to this revision.", valueName: "number"))
  var ifRevision: UInt64?
  @Flag(help: "Print one JSON object per path.") var json = false

  func run() async throws {
    let paths = try self.paths.map { try RemotePath($0) }
    let condition = ifRevision.map { WriteCondition.ifRevision(Revision(rawValue: $0)) }
    let command = self
    try await client.withClient { client in
      for path in paths {
        do {
          try await client.remove(path, command.recursive ? .tree : .single, condition: condition)
        } catch let error as DFSError where error.code == .notFound && command.force {
          continue
        }
        if command.json {
          try JSONOutput.print(
            DoneOutput(action: "rm", path: path.description, target: nil, length: nil), pretty: false)
        }
      }
    }
  }
}
