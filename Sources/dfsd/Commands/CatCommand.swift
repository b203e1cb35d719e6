import ArgumentParser
import DFSClient
import DFSCore
import Foundation

struct CatCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cat",
    abstract: "Write files, or a part of one, to standard output, verified.",
    discussion: """
      Examples:
        dfsd cat /notes.txt
        dfsd cat --offset 1GiB --length 4KiB /disk.img
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "Remote files.") var paths: [String]
  @Option(help: ArgumentHelp("Where to begin.", valueName: "size")) var offset: String?
  @Option(help: ArgumentHelp("How much at most.", valueName: "size")) var length: String?

  func validate() throws {
    for (name, text) in [("--offset", offset), ("--length", length)] {
      if let text, ByteCount(text) == nil {
        throw ValidationError("\(name) is a number of bytes, such as 4096 or 4KiB")
      }
    }
    if paths.count > 1, offset != nil || length != nil {
      throw ValidationError("--offset and --length want one file")
    }
  }

  func run() async throws {
    let paths = try self.paths.map { try RemotePath($0) }
    let start = offset.flatMap { ByteCount($0)?.rawValue } ?? 0
    let (end, overflow) = start.addingReportingOverflow(length.flatMap { ByteCount($0)?.rawValue } ?? .max)
    let range = start..<(overflow ? .max : end)
    try await client.withClient { client in
      for path in paths {
        try await client.download(path, range: range, toDescriptor: STDOUT_FILENO, named: "standard output")
      }
    }
  }
}
