import ArgumentParser
import DFSClient
import DFSCore
import Foundation

struct LsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls",
    abstract: "List directories.",
    discussion: """
      Examples:
        dfsd ls /
        dfsd ls -l /photos      mode, copies, size, time; "meta": in the metadata
        dfsd ls -r /photos      everything below, in order of path

      Entries come in byte order of their names, all of one moment. With --json,
      one object per line. After an error the other paths are listed all the same;
      the exit status is that of the first error.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "Remote directories or files.") var paths: [String] = ["/"]
  @Flag(name: .customShort("l"), help: "Show mode, copies, size and time.") var long = false
  @Flag(name: [.customShort("r"), .long], help: "List everything below.") var recursive = false
  @Flag(help: "Print one JSON object per line.") var json = false

  func run() async throws {
    let paths = try self.paths.map { try RemotePath($0) }
    let command = self
    let failures = try await client.withClient { client in
      var failures = Failures()
      var isFirst = true
      for path in paths {
        let title = "\(isFirst ? "" : "\n")\(HumanText.name(path.description)):"
        do {
          try await command.list(path, title: paths.count > 1 && !command.json ? title : nil, client)
          isFirst = false
        } catch { try failures.take(error) }
      }
      return failures
    }
    try failures.end()
  }

  private func list(_ path: RemotePath, title: String?, _ client: DFSClient) async throws {
    var token: PageToken?
    repeat {
      let page = try await client.page(of: path, recursive: recursive, after: token)
      if let title, token == nil { Terminal.print(title) }
      if page.isSnapshotLost {
        Terminal.note("dfsd: \(path) was listed for so long that the rest shows a later moment")
      }
      if json {
        for entry in page.entries {
          try JSONOutput.print(AttributesOutput(entry.path, entry.attributes), pretty: false)
        }
      } else if long {
        HumanText.table(page.entries.map(row), right: [1, 2]).forEach { Terminal.print($0) }
      } else {
        page.entries.forEach { Terminal.print(name($0)) }
      }
      token = page.next
    } while token != nil
  }

  private func row(_ entry: DirectoryEntry) -> [String] {
    let attributes = entry.attributes
    let isFile = attributes.kind == .file
    return [
      HumanText.mode(attributes), isFile ? copies(attributes) : "",
      isFile ? "\(attributes.length.rawValue)" : "-",
      HumanText.time(attributes.modified), name(entry),
    ]
  }

  /// What lies inside the metadata has no copies of its own.
  private func copies(_ attributes: FileAttributes) -> String {
    attributes.chunkCount == 0 ? "meta" : "\(attributes.replicas)×"
  }

  private func name(_ entry: DirectoryEntry) -> String {
    HumanText.name(entry.path) + (entry.attributes.kind == .directory ? "/" : "")
  }
}
