import ArgumentParser
import DFSClient
import DFSCore

struct UndeleteCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "undelete",
    abstract: "Bring back what was removed or replaced.",
    discussion: """
      Examples:
        dfsd trash /photos                        what there is, each with its id
        dfsd undelete 18c3f2a6d80-1000000000012   to where it was
        dfsd undelete 18c3f2a6d80-1000000000012 --to /cat-old.jpg

      With --to, an earlier version comes back beside the present one.

      A directory comes back with everything below it. The name must be free.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: ArgumentHelp("The deletions, as dfsd trash lists them.", valueName: "id"))
  var deletions: [String]
  @Option(help: ArgumentHelp("The name that it gets instead of its old one.", valueName: "path"))
  var to: String?
  @Flag(help: "Print one JSON object per deletion.") var json = false

  func validate() throws {
    if deletions.count > 1, to != nil { throw ValidationError("--to wants one deletion") }
  }

  func run() async throws {
    let deletions = try self.deletions.map { try DeletionID(argument: $0) }
    let target = try to.map { try RemotePath($0) }
    let json = self.json
    let failures = try await client.withClient { client in
      var failures = Failures()
      for deletion in deletions {
        do {
          let back = try await client.undelete(deletion, to: target)
          if json {
            try JSONOutput.print(
              DoneOutput(
                action: "undelete", path: back.path, target: nil, length: back.attributes.length.rawValue,
                deletion: deletion.description), pretty: false)
          } else {
            Terminal.print(HumanText.name(back.path))
          }
        } catch { try failures.take(error) }
      }
      return failures
    }
    try failures.end()
  }
}

extension DeletionID {
  /// As a person types it.
  init(argument text: String) throws {
    guard let deletion = DeletionID(text) else {
      throw DFSError(
        .invalidArgument,
        "\"\(text)\" is no deletion: dfsd trash lists them, such as 18c3f2a6d80-1000000000012")
    }
    self = deletion
  }
}
