import ArgumentParser
import DFSClient
import DFSCore
import Foundation

struct StatCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stat",
    abstract: "Show what is known of files: size, hash, chunks, and where the copies are.",
    discussion: """
      Examples:
        dfsd stat /photos/cat.jpg
        dfsd stat --chunks 1000 --json /disk.img

      The hash is the one that "dfsd hash LOCAL" computes.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: "Remote files or directories.") var paths: [String]
  @Option(help: ArgumentHelp("Chunks to show.", valueName: "number")) var chunks = 8
  @Flag(help: "Print JSON.") var json = false

  func run() async throws {
    let paths = try self.paths.map { try RemotePath($0) }
    let command = self
    try await client.withClient { client in
      for path in paths { try await command.show(path, client) }
    }
  }

  private func show(_ path: RemotePath, _ client: DFSClient) async throws {
    var attributes = try await client.stat(path)
    var shown: [ChunkLocation] = []
    if attributes.kind == .file, attributes.chunkCount > 0, chunks > 0 {
      (attributes, shown) = try await client.chunks(of: path, count: chunks)
    }
    if json {
      var output = AttributesOutput(path.description, attributes)
      output.chunks = attributes.kind == .file ? shown.map { ChunkOutput($0) } : nil
      return try JSONOutput.print(output, pretty: paths.count == 1)
    }
    var rows = [
      ["path", HumanText.name(path.description)], ["type", attributes.kind.rawValue],
      ["mode", HumanText.mode(attributes)], ["modified", HumanText.time(attributes.modified)],
      ["revision", "\(attributes.revision)"], ["inode", "\(attributes.inode)"],
    ]
    if attributes.kind == .file {
      rows.insert(["length", "\(attributes.length.rawValue) (\(attributes.length))"], at: 2)
      rows.append(["hash", attributes.root?.description ?? "-"])
      let isInMetadata = attributes.isInline || attributes.chunkCount == 0
      rows.append(["copies", isInMetadata ? "inside the metadata" : "\(attributes.replicas) of each chunk"])
      if attributes.chunkCount > 0 {
        rows.append(["chunks", "\(attributes.chunkCount) of \(attributes.chunkSize?.description ?? "?")"])
      }
    }
    if !attributes.owner.isEmpty { rows.append(["owner", HumanText.name(attributes.owner)]) }
    HumanText.table(rows).forEach { Terminal.print($0) }
    shown.forEach(print)
    if attributes.chunkCount > shown.count, attributes.kind == .file, !attributes.isInline {
      let rest = HumanText.count(attributes.chunkCount - shown.count, "more chunk", "more chunks")
      Terminal.print("  … \(rest); show them with --chunks")
    }
  }

  private func print(_ chunk: ChunkLocation) {
    Terminal.print("  chunk \(chunk.id)  \(chunk.length) at \(chunk.offset)  group \(chunk.group)")
    for replica in chunk.replicas {
      var line = "    \(replica.node)  \(replica.address?.description ?? "?")"
      if !replica.zone.isEmpty { line += "  zone \(replica.zone)" }
      if replica.state != .full { line += "  \(replica.state.rawValue)" }
      if !replica.isReachable { line += "  out of reach" }
      Terminal.print(line)
    }
  }
}
