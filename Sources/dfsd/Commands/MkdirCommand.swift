import ArgumentParser
import DFSClient
import DFSCore

struct MkdirCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mkdir",
    abstract: "Create directories.",
    discussion: """
      Examples:
        dfsd mkdir /photos
        dfsd mkdir -p --replicas 5 /important/papers
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "Remote directories to be.") var paths: [String]
  @Flag(name: [.customShort("p"), .long], help: "Create missing parents; an existing directory is fine.")
  var parents = false
  @Option(help: ArgumentHelp("Copies of the files below it, 1 to 5.", valueName: "number")) var replicas: Int?
  @Flag(help: "Print one JSON object per directory.") var json = false

  func validate() throws {
    if let replicas, !(1...5).contains(replicas) {
      throw ValidationError("--replicas is a number from 1 to 5")
    }
  }

  func run() async throws {
    let paths = try self.paths.map { try RemotePath($0) }
    let (parents, replicas, json) = (self.parents, self.replicas, self.json)
    try await client.withClient { client in
      for path in paths {
        do {
          let made = try await client.makeDirectory(path, makeParents: parents, replicas: replicas)
          if json { try JSONOutput.print(AttributesOutput(path.description, made), pretty: false) }
        } catch var error as DFSError where error.code == .notFound && !parents {
          error.message += "; add -p to create missing directories"
          throw error
        }
      }
    }
  }
}
