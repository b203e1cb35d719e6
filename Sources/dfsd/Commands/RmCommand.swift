import ArgumentParser
import DFSClient
import DFSCore

struct RmCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm",
    abstract: "Remove files, empty directories, or whole trees; they can be had back for a while.",
    discussion: """
      Examples:
        dfsd rm /old.txt
        dfsd rm -r /old-photos      a tree, at one moment
        dfsd rm --now /huge.iso     past the trash: its space comes back in minutes

      What was removed stays in the trash for coordinator.trash_retention (a day):
      dfsd trash lists it, dfsd undelete brings it back. After an error the other
      paths are removed all the same; the exit status is that of the first error.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "What goes.") var paths: [String]
  @Flag(name: [.customShort("r"), .long], help: "Remove directories with everything below them.")
  var recursive = false
  @Flag(name: [.customShort("f"), .long], help: "What does not exist is no error.") var force = false
  @Flag(help: "Remove for good, past the trash.") var now = false
  @Option(help: ArgumentHelp("Fail unless the name leads to this revision.", valueName: "number"))
  var ifRevision: UInt64?
  @Flag(help: "Print one JSON object per path.") var json = false

  func run() async throws {
    let paths = try self.paths.map { try RemotePath($0) }
    let command = self
    let failures = try await client.withClient { client in
      var failures = Failures()
      var kept: [(RemotePath, DeletionID)] = []
      for path in paths {
        do {
          let deletion = try await command.remove(path, client)
          if let deletion { kept.append((path, deletion)) }
        } catch let error as DFSError where error.code == .notFound && command.force {
          continue
        } catch { try failures.take(error) }
      }
      if Terminal.isErrorTerminal { command.tellHowToUndo(kept) }
      return failures
    }
    try failures.end()
  }

  private func remove(_ path: RemotePath, _ client: DFSClient) async throws -> DeletionID? {
    let condition = ifRevision.map { WriteCondition.ifRevision(Revision(rawValue: $0)) }
    let deletion = try await client.remove(
      path, recursive ? .tree : .single, now ? .now : .trash, condition: condition)
    if json {
      try JSONOutput.print(
        DoneOutput(
          action: "rm", path: path.description, target: nil, length: nil, deletion: deletion?.description),
        pretty: false)
    }
    return deletion
  }

  private func tellHowToUndo(_ kept: [(path: RemotePath, deletion: DeletionID)]) {
    guard let last = kept.last else { return }
    if kept.count == 1 {
      Terminal.note(
        "dfsd: \(HumanText.name(last.path.description)) is in the trash; to have it back: "
          + "dfsd undelete \(last.deletion)")
    } else {
      Terminal.note("dfsd: \(kept.count) things are in the trash; dfsd trash lists them")
    }
  }
}
