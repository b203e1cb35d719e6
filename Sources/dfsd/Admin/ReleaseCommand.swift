import ArgumentParser
import DFSClient
import DFSCore

struct ReleaseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "release",
    abstract: "Let deletion go on after the metadata was restored.",
    discussion: """
      A restored coordinator deletes no chunk: those that only the lost changes knew
      look like garbage. Run dfsd admin fsck first, look at what it finds, then:
        dfsd admin release
      """)

  @OptionGroup var client: ClientOptions
  @Flag(help: "Release although no check of all chunks was completed since the restore.") var force = false
  @Flag(help: "Print JSON.") var json = false

  private struct Output: Encodable {
    var action = "release"
    var revision: UInt64
  }

  func run() async throws {
    let force = self.force
    let revision = try await client.withClient { try await $0.releaseHold(force ? .forced : .afterCheck) }
    if json {
      try JSONOutput.print(Output(revision: revision.rawValue))
    } else {
      Terminal.print("released: the coordinator deletes again what nothing refers to")
    }
  }
}
