import ArgumentParser
import DFSClient
import DFSCore

struct CpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cp",
    abstract: "Copy files within the cluster; their bytes pass through this process.",
    discussion: """
      Examples:
        dfsd cp /a.jpg /b.jpg
        dfsd cp -r /photos /photos-2024
      """)

  @OptionGroup var client: ClientOptions
  @Argument(
    help: ArgumentHelp("Remote paths, and last the new name or a directory.", valueName: "source… target"))
  var paths: [String]
  @Flag(name: [.customShort("r"), .long], help: "Copy directories with everything below them.")
  var recursive = false
  @Flag(help: "Fail if a name exists.") var ifAbsent = false
  @Option(help: ArgumentHelp("Copies to keep, 1 to 5; else the source's.", valueName: "number")) var replicas:
    Int?
  @Flag(help: "Print one JSON object per file.") var json = false

  func validate() throws {
    if paths.count < 2 { throw ValidationError("name at least one source and the target") }
  }

  func run() async throws {
    let sources = try paths.dropLast().map { try RemotePath($0) }
    let isDirectoryMeant = sources.count > 1 || paths[paths.count - 1].hasSuffix("/")
    let target = try RemotePath(paths[paths.count - 1])
    let command = self
    try await client.withClient { client in
      let place = try await RemoteTarget(target, client)
      if isDirectoryMeant { try place.requireDirectory() }
      for source in sources {
        let destination = try place.destination(for: source)
        guard source != destination else {
          throw DFSError(.invalidArgument, "\(source) cannot be copied onto itself")
        }
        try await place.inside(destination, from: source) {
          try await command.copy(source, to: destination, client)
        }
      }
    }
  }

  private func copy(_ source: RemotePath, to target: RemotePath, _ client: DFSClient) async throws {
    let attributes = try await client.stat(source)
    guard attributes.kind == .directory else { return try await copyFile(source, to: target, client) }
    guard recursive else {
      throw DFSError(.failedPrecondition, "\(source) is a directory; add -r to copy it with everything below")
    }
    guard !target.starts(with: source) else {
      throw DFSError(.invalidArgument, "\(source) cannot be copied into itself")
    }
    var directories = [(target, attributes)]
    _ = try await client.makeDirectory(target, makeParents: true, mode: attributes.mode)
    try await withThrowingTaskGroup(of: Void.self) { group in
      var running = 0
      for try await entry in client.entries(of: source, recursive: true) {
        let relative = try RemotePath("/" + entry.path).components
        let destination = RemotePath(components: target.components + relative)
        guard entry.attributes.kind == .file else {
          _ = try await client.makeDirectory(destination, makeParents: true, mode: entry.attributes.mode)
          directories.append((destination, entry.attributes))
          continue
        }
        if running >= TreeUpload.filesAtOnce {
          try await group.next()
          running -= 1
        }
        running += 1
        let origin = RemotePath(components: source.components + relative)
        group.addTask { try await copyFile(origin, to: destination, client) }
      }
      try await group.waitForAll()
    }
    for (path, attributes) in directories.reversed() {
      _ = try await client.setAttributes(of: path, modified: attributes.modified)
    }
  }

  private func copyFile(_ source: RemotePath, to target: RemotePath, _ client: DFSClient) async throws {
    let stored = try await client.withContent(of: source) { content in
      var options = UploadOptions()
      options.mode = content.attributes.mode
      options.modified = content.attributes.modified
      options.owner = content.attributes.owner
      options.userAttributes = content.attributes.userAttributes
      options.replicas = replicas ?? content.attributes.replicas
      options.chunkSize = content.attributes.chunkSize
      if ifAbsent { options.condition = .ifAbsent }
      return try await client.upload(stream: content, to: target, options: options)
    }
    guard json else { return }
    try JSONOutput.print(
      DoneOutput(
        action: "cp", path: source.description, target: target.description,
        length: stored.attributes.length.rawValue), pretty: false)
  }
}
