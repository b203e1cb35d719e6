import ArgumentParser

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Show the version of this program.")

  @Flag(help: "Print JSON.") var json = false

  private struct Output: Encodable {
    var version: String
    var protocolVersion = "dfs.v1"
  }

  func run() throws {
    if json {
      try JSONOutput.print(Output(version: Version.current))
    } else {
      Terminal.print("dfsd \(Version.current), protocol dfs.v1")
    }
  }
}
