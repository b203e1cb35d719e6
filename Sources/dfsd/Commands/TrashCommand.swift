import ArgumentParser
import DFSClient
import DFSCore
import Foundation

struct TrashCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trash",
    abstract: "List what was removed or replaced and can be had back, or end its time.",
    discussion: """
      Examples:
        dfsd trash                   everything, the next to expire first
        dfsd trash -l /photos        below /photos: why, size, when, until when
        dfsd trash --purge 18c3f2a6d80-1000000000012   this one for good
        dfsd trash --empty /photos   all from below /photos for good

      dfsd undelete ID brings one back. What is purged never comes back; its space is
      free some minutes later. --empty asks first, and wants --yes where nobody can
      be asked.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "Only what was at or below this remote path.") var path: String = "/"
  @Flag(name: .customShort("l"), help: "Show why, the size, when, and until when.") var long = false
  @Option(
    parsing: .upToNextOption, help: ArgumentHelp("Removes these deletions for good.", valueName: "id"))
  var purge: [String] = []
  @Flag(help: "Removes everything for good that was at or below the path.") var empty = false
  @Flag(name: [.customShort("y"), .long], help: "Does not ask.") var yes = false
  @Flag(help: "Print one JSON object per line.") var json = false

  private struct PurgeOutput: Encodable {
    var action = "purge"
    var purged: UInt64
  }

  func validate() throws {
    if empty, !purge.isEmpty { throw ValidationError("--purge and --empty exclude each other") }
    if !purge.isEmpty, path != "/" { throw ValidationError("--purge takes deletions, not a path") }
    if yes, !empty { throw ValidationError("--yes goes with --empty") }
  }

  func run() async throws {
    let path = try RemotePath(self.path)
    let deletions = try purge.map { try DeletionID(argument: $0) }
    let command = self
    if empty { try askForConsent(path) }
    try await client.withClient { client in
      if !deletions.isEmpty {
        try command.report(try await client.purge(deletions), of: deletions.count)
      } else if command.empty {
        try command.report(try await Self.empty(path, client), of: nil)
      } else {
        try await command.list(path, client)
      }
    }
  }

  private func list(_ path: RemotePath, _ client: DFSClient) async throws {
    var token: PageToken?
    repeat {
      let page = try await client.trashPage(below: path, after: token)
      if json {
        for entry in page.entries { try JSONOutput.print(TrashOutput(entry), pretty: false) }
      } else {
        HumanText.table(page.entries.map(row), right: long ? [2] : []).forEach { Terminal.print($0) }
      }
      token = page.next
    } while token != nil
  }

  private func row(_ entry: TrashEntry) -> [String] {
    let name = HumanText.name(entry.path) + (entry.kind == .directory ? "/" : "")
    guard long else { return ["\(entry.deletion)", name] }
    return [
      "\(entry.deletion)", entry.cause.rawValue,
      entry.kind == .file ? "\(entry.length.rawValue)" : "-", HumanText.time(entry.deleted),
      HumanText.time(entry.expires), name,
    ]
  }

  private func askForConsent(_ path: RemotePath) throws {
    guard !yes else { return }
    let what = path.isRoot ? "everything in the trash" : "everything in the trash from \(path)"
    guard isatty(STDIN_FILENO) == 1, Terminal.isErrorTerminal else {
      throw ValidationError("--empty removes \(what) for good: add --yes, for nobody can be asked here")
    }
    Terminal.ask("Remove \(what) for good? [y/N] ")
    let answer = readLine()?.lowercased() ?? ""
    guard answer == "y" || answer == "yes" else {
      Terminal.note("dfsd: nothing was removed")
      throw ExitCode(ExitStatus.interrupted.rawValue)
    }
  }

  /// Below a path, what is there when it begins: removals in the meantime are not meant.
  private static func empty(_ path: RemotePath, _ client: DFSClient) async throws -> UInt64 {
    guard !path.isRoot else { return try await client.emptyTrash() }
    var meant: [DeletionID] = []
    for try await entry in client.trash(below: path) { meant.append(entry.deletion) }
    return try await client.purge(meant)
  }

  private func report(_ purged: UInt64, of asked: Int?) throws {
    if json { return try JSONOutput.print(PurgeOutput(purged: purged), pretty: false) }
    if let asked, purged < UInt64(asked) {
      Terminal.note("dfsd: \(asked - Int(purged)) of \(asked) deletions were not in the trash any more")
    }
    if Terminal.isErrorTerminal {
      Terminal.note("dfsd: \(purged) removed for good; their space is free in some minutes")
    }
  }
}

/// One deletion.
struct TrashOutput: Encodable {
  var deletion: String
  var path: String
  var type: String
  var length: Int64
  var deleted: String
  var deletedMs: Int64
  var expires: String
  var expiresMs: Int64
  var cause: String
  var inode: String

  init(_ entry: TrashEntry) {
    deletion = entry.deletion.description
    path = entry.path
    type = entry.kind.rawValue
    length = entry.length.rawValue
    deleted = HumanText.time(entry.deleted)
    deletedMs = entry.deleted.rawValue / 1_000_000
    expires = HumanText.time(entry.expires)
    expiresMs = entry.expires.rawValue / 1_000_000
    cause = entry.cause.rawValue
    inode = entry.inode.description
  }
}
