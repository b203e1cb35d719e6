import ArgumentParser
import DFSClient
import DFSCore
import Foundation
import NIOConcurrencyHelpers

struct PutCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put",
    abstract: "Store files: durable on all replicas when it returns.",
    discussion: """
      Examples:
        dfsd put cat.jpg /photos/cat.jpg     under this name
        dfsd put cat.jpg dog.jpg /photos/    into this directory
        dfsd put -r photos /backup           a directory; links are left out
        tar c . | dfsd put - /backup.tar     standard input, of any length

      An existing directory as target takes the sources under their own names.
      What is there is replaced as a whole, when the new content is durable; it stays
      in the trash for a while. With -r, links, pipes, devices and names that are not
      UTF-8 are left out and named, and the exit status is 13 then; after an error
      with one file the others are stored all the same, and the exit status is that
      of the first error.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(
    help: ArgumentHelp(
      "Local files (- is standard input), and last the remote target.", valueName: "source… target"),
    completion: .file())
  var paths: [String]
  @Flag(name: [.customShort("r"), .long], help: "Store directories with everything below them.")
  var recursive = false
  @Flag(name: [.customShort("p"), .long], help: "Create missing directories above the target.") var parents =
    false
  @Flag(help: "Fail if the name exists.") var ifAbsent = false
  @Option(help: ArgumentHelp("Fail unless the name leads to this revision.", valueName: "number"))
  var ifRevision: UInt64?
  @Option(help: ArgumentHelp("Copies to keep, 1 to 5.", valueName: "number")) var replicas: Int?
  @Option(
    help: ArgumentHelp("Length of the chunks: 64KiB times a power of two, up to 64MiB.", valueName: "size"))
  var chunkSize: String?
  @Flag(help: "Print one JSON object per file.") var json = false

  private var sources: [String] { Array(paths.dropLast()) }
  private var target: String { paths[paths.count - 1] }

  func validate() throws {
    if paths.count < 2 { throw ValidationError("name at least one source and the target") }
    if ifAbsent, ifRevision != nil {
      throw ValidationError("--if-absent and --if-revision exclude each other")
    }
    if let replicas, !(1...5).contains(replicas) {
      throw ValidationError("--replicas is a number from 1 to 5")
    }
    if sources.filter({ $0 == "-" }).count > 1 {
      throw ValidationError("standard input can be read once only")
    }
    _ = try parsedChunkSize()
  }

  private func parsedChunkSize() throws -> ChunkSize? {
    guard let chunkSize else { return nil }
    guard let bytes = ByteCount(chunkSize), let size = ChunkSize(bytes: bytes.int) else {
      throw ValidationError("--chunk-size is 64KiB times a power of two, at most 64MiB")
    }
    return size
  }

  func run() async throws {
    let target = try RemotePath(self.target)
    var options = UploadOptions()
    options.makeParents = parents
    options.replicas = replicas
    options.chunkSize = try parsedChunkSize()
    if ifAbsent { options.condition = .ifAbsent }
    if let ifRevision { options.condition = .ifRevision(Revision(rawValue: ifRevision)) }
    // What is wrong here is told without asking the cluster.
    for source in sources where source != "-" { _ = try LocalEntry(source, following: true) }
    let command = self
    let failures = try await client.withClient { [options] client in
      let work = try await command.plan(target, client)
      do {
        return try await TreeUpload(client: client, options: options, json: command.json).run(work)
      } catch var error as DFSError where error.code == .notFound && !options.makeParents {
        // The sources were there a moment ago, so it is the target's directory that is missing.
        error.message += "; add -p to create missing directories"
        throw error
      }
    }
    try failures.end()
  }

  /// What goes where. Finds out first whether the target is a directory, as `cp` does.
  private func plan(_ target: RemotePath, _ client: DFSClient) async throws -> [TreeUpload.Item] {
    let wantsDirectory = sources.count > 1 || self.target.hasSuffix("/")
    let isDirectory: Bool
    do {
      isDirectory = try await client.stat(target).kind == .directory
    } catch let error as DFSError where error.code == .notFound {
      guard !wantsDirectory || (parents && sources.count == 1) else {
        throw DFSError(.notFound, "there is no directory \(target); create it with dfsd mkdir -p \(target)")
      }
      isDirectory = false
    }
    if wantsDirectory, !isDirectory, try await exists(target, client) {
      throw DFSError(.failedPrecondition, "\(target) is not a directory")
    }
    return try sources.map { source in
      let intoDirectory = isDirectory || self.target.hasSuffix("/")
      let destination = intoDirectory ? target.appending(try localName(source)) : target
      return TreeUpload.Item(source: source, target: destination, isRecursive: recursive)
    }
  }

  private func exists(_ path: RemotePath, _ client: DFSClient) async throws -> Bool {
    do {
      _ = try await client.stat(path)
      return true
    } catch let error as DFSError where error.code == .notFound {
      return false
    }
  }

  private func localName(_ source: String) throws -> FileName {
    guard source != "-" else {
      throw DFSError(
        .invalidArgument, "standard input has no name: give the whole remote path, not a directory")
    }
    return try FileName(URL(fileURLWithPath: source).standardizedFileURL.lastPathComponent)
  }
}
