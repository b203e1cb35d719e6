import ArgumentParser
import DFSClient
import DFSCore

struct HashCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hash",
    abstract: "Compute the hash of local files, to compare with stat.",
    discussion: """
      The root of an RFC 6962 Merkle tree with SHA-256 over blocks of 64 KiB.
      Needs no cluster.

      Example:
        dfsd hash cat.jpg
      """)

  @Argument(help: "Local files; - is standard input.", completion: .file()) var paths: [String]
  @Flag(help: "Print one JSON object per file.") var json = false

  private struct Output: Encodable {
    var path: String
    var root: String
  }

  func run() throws {
    for path in paths {
      let root = try LocalHash.root(ofFile: path)
      if json {
        try JSONOutput.print(Output(path: path, root: root.description), pretty: false)
      } else {
        Terminal.print("\(root)  \(HumanText.name(path))")
      }
    }
  }
}
