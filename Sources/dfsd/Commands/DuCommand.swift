import ArgumentParser
import DFSClient
import DFSCore

struct DuCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "du",
    abstract: "Count files and bytes below paths.",
    discussion: """
      Example:
        dfsd du /photos
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "Remote directories or files.") var paths: [String] = ["/"]
  @Flag(help: "Print one JSON object per path.") var json = false

  private struct Output: Encodable {
    var path: String
    var files: UInt64
    var directories: UInt64
    var bytes: Int64
    var storedBytes: Int64
  }

  func run() async throws {
    let paths = try self.paths.map { try RemotePath($0) }
    let json = self.json
    try await client.withClient { client in
      var rows = [["size", "on disks", "files", "directories", "path"]]
      for path in paths {
        let usage = try await client.diskUsage(of: path)
        if json {
          try JSONOutput.print(
            Output(
              path: path.description, files: usage.files, directories: usage.directories,
              bytes: usage.length.rawValue, storedBytes: usage.stored.rawValue), pretty: false)
        } else {
          rows.append([
            "\(usage.length)", "\(usage.stored)", "\(usage.files)", "\(usage.directories)",
            HumanText.name(path.description),
          ])
        }
      }
      if !json { HumanText.table(rows, right: [0, 1, 2, 3]).forEach { Terminal.print($0) } }
    }
  }
}
