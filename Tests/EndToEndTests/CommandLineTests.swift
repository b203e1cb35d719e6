import Foundation
import TestSupport
import Testing

/// What a script and a newcomer see of the commands.
@Suite struct `The command line` {
  private struct Mistake {
    var arguments: [String]
    var status: Int32
    /// What the message must say.
    var says: String
  }

  private func mistakes(_ cluster: ProcessCluster, _ files: LocalFiles) -> [Mistake] {
    let (file, none) = (files.path("file"), files.path("none"))
    func mistake(_ status: Int32, _ says: String, _ arguments: String...) -> Mistake {
      Mistake(arguments: arguments, status: status, says: says)
    }
    return [
      mistake(2, "start it with \"/\"", "ls", "relative"),
      mistake(2, "write HOST:PORT", "ls", "--coordinators", "127.0.0.1"),
      mistake(2, "client.timeout", "ls", "--timeout", "abc"),
      mistake(2, "beneath itself", "mv", "/dir", "/dir/x"),
      mistake(2, "onto itself", "cp", "/file", "/file"),
      mistake(2, "dfsd trash lists them", "undelete", "abc"),
      mistake(3, "No such file", "put", none, "/x"),
      mistake(3, "add -p", "put", file, "/none/x"),
      mistake(3, "add -p", "mkdir", "/none/x"),
      mistake(3, "dfsd mkdir -p /none", "mv", "/file", "/none/x"),
      mistake(3, "dfsd mkdir -p /none", "mv", "/file", "/none/"),
      mistake(3, "dfsd mkdir -p /none", "cp", "/file", "/none/x"),
      mistake(3, "/none does not exist", "mv", "/none", "/other"),
      mistake(3, "/none does not exist", "get", "/none", none),
      mistake(3, "create it first", "get", "/file", none + "/x"),
      mistake(3, "can not be read", "check-config", none),
      mistake(4, "exists already", "put", "--if-absent", file, "/file"),
      mistake(4, "exists already", "mkdir", "/dir"),
      mistake(4, "exists already", "mv", "-n", "/file", "/other"),
      mistake(5, "at revision 1", "put", "--if-revision", "1", file, "/file"),
      mistake(5, "rm -r", "rm", "/dir"),
      mistake(5, "is a directory", "cat", "/dir"),
      mistake(5, "add -r", "put", files.directory.path, "/x"),
      mistake(5, "is not a directory", "get", "/file", "/other", file),
      mistake(5, "is not a directory", "put", file, file, "/other"),
      mistake(5, "is not a directory", "mv", "/file", "/other/"),
      mistake(8, "dfsd up", "ls", "--coordinators", "127.0.0.1:1"),
      mistake(11, "no coordinator", "ls", "--coordinators", "127.0.0.1:\(cluster.datanodePorts[0])"),
      mistake(64, "--bogus", "ls", "--bogus"),
    ]
  }

  @Test func `every kind of mistake has its exit status, and the message says what to do`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let file = try files.make("file", bytes: 10)
    expectSuccess(try await cluster.dfsd(["put", file, "/file"]), cluster)
    expectSuccess(try await cluster.dfsd(["put", file, "/other"]), cluster)
    expectSuccess(try await cluster.dfsd(["put", "-p", file, "/dir/file"]), cluster)
    let before = try await cluster.dfsd(["ls", "-r", "/"])
    for mistake in mistakes(cluster, files) {
      let run = try await cluster.dfsd(mistake.arguments)
      #expect(
        run.status == mistake.status && run.errors.contains(mistake.says) && run.output.isEmpty,
        "\(mistake.arguments): \(run.status) \(run.errors)\(run.output)")
    }
    #expect(try await cluster.dfsd(["ls", "-r", "/"]).output == before.output)
  }

  @Test func `what --json prints has the keys that are written down, and no other`() async throws {
    let written = try documentedKeys()
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let file = try files.make("file", bytes: 100_000)
    let commands: [[String]] = [
      ["put", file, "/file"], ["get", "/file", files.path("copy")], ["ls", "/"], ["stat", "/file"],
      ["hash", file], ["mkdir", "/dir"], ["cp", "/file", "/dir/a"], ["mv", "/dir/a", "/dir/b"],
      ["rm", "/dir/b"], ["trash"], ["trash", "--empty", "--yes"], ["du"], ["df"], ["status"],
      ["health", "--cluster"], ["health", cluster.coordinatorAddress], ["version"],
      ["check-config", repositoryRoot + "/cluster.example.yaml"], ["admin", "nodes"], ["admin", "jobs"],
      ["admin", "can-stop", "127.0.0.1:\(cluster.datanodePorts[0])"], ["admin", "fsck", "--wait"],
      ["admin", "scrub"],
    ]
    for command in commands {
      let run = try await cluster.dfsd(command + ["--json"])
      expectSuccess(run, cluster)
      let name = command[0] == "admin" ? command.prefix(2).joined(separator: " ") : command[0]
      let keys = try self.keys(of: run.output)
      #expect(!keys.isEmpty, "\(command) printed nothing")
      let known = try #require(written[name], "\(name) is not written down")
      #expect(keys.isSubset(of: known), "\(command): \(keys.subtracting(known).sorted())")
    }
    let removed = try await cluster.dfsd(["rm", "--json", "/file"])
    let deletion = try #require(removed.output.firstMatch(of: /"deletion":"([^"]+)"/)).1
    let back = try await cluster.dfsd(["undelete", "--json", String(deletion)])
    expectSuccess(back, cluster)
    #expect(try keys(of: back.output).isSubset(of: try #require(written["undelete"])))
  }

  @Test(arguments: ["bash", "zsh", "fish"])
  func `completions are printed, and bash takes them`(shell: String) async throws {
    let files = try LocalFiles()
    let script = files.path("completions")
    let run = try await ProgramRun.run(
      ProcessCluster.program, ["--generate-completion-script", shell], outputFile: script)
    #expect(run.status == 0)
    let text = try String(contentsOfFile: script, encoding: .utf8)
    for word in ["put", "status", "admin", "chunk-size"] { #expect(text.contains(word)) }
    guard shell == "bash" else { return }
    let asked = try await ProgramRun.run(
      "/bin/bash",
      [
        "-c", "source \"$1\"; COMP_WORDS=(dfsd st); COMP_CWORD=1; _dfsd dfsd st dfsd; echo ${COMPREPLY[@]}",
        "-",
        script,
      ])
    #expect(
      asked.output.contains("status") && asked.output.contains("stat"), "\(asked.output)\(asked.errors)")
  }

  @Test func `a configuration is checked as a whole, each mistake with its place`() async throws {
    let files = try LocalFiles()
    let path = files.path("cluster.yaml")
    try "coordinator:\n  chunk_size: 3MiB\n  replica: 4\n".write(
      toFile: path, atomically: true, encoding: .utf8)
    let bad = try await ProgramRun.run(ProcessCluster.program, ["check-config", path])
    #expect(bad.status == 2 && bad.errors.contains("2 errors"), "\(bad.errors)")
    #expect(bad.output.contains("chunk_size") && bad.output.contains("cluster.yaml:2"), "\(bad.output)")
    #expect(
      bad.output.contains("did you mean coordinator.replicas?") && bad.output.contains("cluster.yaml:3"))
    let good = try await ProgramRun.run(
      ProcessCluster.program, ["check-config", repositoryRoot + "/cluster.example.yaml"])
    #expect(good.status == 0 && good.output.contains("is valid"), "\(good.output)\(good.errors)")
  }

  @Test func `the request id of a command stands in the log of every process that took part`() async throws {
    var settings = ProcessCluster.Settings()
    settings.coordinatorArguments = ["--set", "log.level=debug"]
    settings.datanodeArguments = ["--set", "log.level=debug"]
    let cluster = try ProcessCluster(settings)
    try await cluster.start()
    var files = try LocalFiles()
    let put = try await cluster.dfsd(
      ["put", try files.make("file", bytes: 100_000), "/file"], environment: ["LOG_LEVEL": "debug"])
    expectSuccess(put, cluster)
    let ids = Set(put.errors.matches(of: /"request_id":"([0-9a-f]+)"/).map { String($0.1) })
    var everywhere = ids
    for name in ["coordinator", "datanode-0", "datanode-1", "datanode-2"] {
      let log = try String(contentsOfFile: "\(cluster.directory.path)/\(name).log", encoding: .utf8)
      everywhere = everywhere.filter { log.contains("\"request_id\":\"\($0)\"") }
    }
    #expect(everywhere.count == 1, "of \(ids), these are everywhere: \(everywhere)")
  }

  @Test func `up says that all copies lie on one disk, and so does status`() async throws {
    let files = try LocalFiles()
    let log = files.path("up.log")
    let up = try StartedProgram(
      ProcessCluster.program, ["up", "--dir", files.path("data"), "--port", "0"], output: log, errors: log)
    let address = try await eventually("the cluster is up") {
      let text = try String(contentsOfFile: log, encoding: .utf8)
      guard text.contains("In another terminal") else { return nil as String? }
      #expect(text.contains("all on this one disk"))
      return text.firstMatch(of: /coordinator +(127\.0\.0\.1:\d+)/).map { String($0.1) }
    }
    let status = try await ProgramRun.run(ProcessCluster.program, ["status", "--coordinators", address])
    #expect(status.status == 0 && status.output.contains("on one disk"), "\(status.output)\(status.errors)")
    up.signal(SIGINT)
    #expect(try await up.exit(within: .seconds(40)) == 0)
  }

  private func eventually<Value>(_ what: String, _ body: () throws -> Value?) async throws -> Value {
    let end = ContinuousClock.now.advanced(by: .seconds(30))
    while ContinuousClock.now < end {
      if let value = try body() { return value }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw ProgramRun.TimedOut(description: "never: \(what)")
  }

  // MARK: What is written down

  private var repositoryRoot: String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
  }

  /// The words in backticks of each command's entry. Entries that refer to another one have its words, too.
  private func documentedKeys() throws -> [String: Set<String>] {
    let page = try String(
      contentsOfFile: repositoryRoot + "/Sources/dfsd/Documentation.docc/CommandOutput.md", encoding: .utf8)
    var keys: [String: Set<String>] = [:]
    for match in page.matches(of: /\n- `([a-z -]+)`:((?:[^\n]|\n  )+)/) {
      keys[String(match.1)] = Set(match.2.matches(of: /`([^`]+)`/).map { String($0.1) })
    }
    let own = keys
    for (name, words) in own {
      for other in words { keys[name]?.formUnion(own[other] ?? []) }
    }
    // "what `status` prints" has the nodes of a third.
    if let status = keys["status"] { keys["df"]?.formUnion(status) }
    return keys
  }

  /// Every key of one object, or of one object a line, nested ones included.
  private func keys(of output: String) throws -> Set<String> {
    let whole = try? JSONSerialization.jsonObject(with: Data(output.utf8))
    let objects =
      try whole.map { [$0] }
      ?? output.split(separator: "\n").map {
        try JSONSerialization.jsonObject(with: Data($0.utf8))
      }
    func keys(_ value: Any) -> Set<String> {
      switch value {
      case let object as [String: Any]: object.reduce(into: Set(object.keys)) { $0.formUnion(keys($1.value)) }
      case let list as [Any]: list.reduce(into: []) { $0.formUnion(keys($1)) }
      default: []
      }
    }
    return objects.reduce(into: []) { $0.formUnion(keys($1)) }
  }
}
