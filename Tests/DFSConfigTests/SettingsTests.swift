import DFSCore
import Foundation
import TestSupport
import Testing

@testable import DFSConfig

struct SettingsTests {
  private func load(
    _ purpose: SettingPurpose = .everything, yaml: String? = nil, environment: [String: String] = [:],
    flags: [String: String] = [:]
  ) throws -> Settings {
    try Settings.load(
      for: purpose,
      from: SettingSources(flags: flags, environment: environment, file: yaml.map { ("c.yaml", $0) }))
  }

  private func problems(
    _ purpose: SettingPurpose = .everything, yaml: String? = nil, environment: [String: String] = [:],
    flags: [String: String] = [:]
  ) -> [SettingProblem] {
    let sources = SettingSources(flags: flags, environment: environment, file: yaml.map { ("c.yaml", $0) })
    return Settings.check(for: purpose, sources).problems
  }

  @Test func `nothing configured gives the defaults of the design`() throws {
    let settings = try load()
    #expect(settings == .standard)
    #expect(settings.coordinator.chunkSize == .standard)
    #expect(settings.coordinator.replicas == 3)
    #expect(settings.coordinator.downAfter == .seconds(10))
    #expect(settings.coordinator.outAfter == .seconds(60))
    #expect(settings.cluster.coordinators == [Endpoint(host: "127.0.0.1", port: 7400)])
    #expect(settings.cluster.tls == nil)
    #expect(settings.datanode.receiveBudget == .mib(64))
    #expect(settings.datanode.advertise == nil && settings.datanode.zone == nil)
    #expect(settings.cluster.transport.loops == nil && settings.cluster.transport.maxAge == nil)
  }

  @Test func `every key of the table is read`() {
    var reader = SettingReader(SettingLayers(SettingSources()))
    _ = Settings(reading: &reader)
    #expect(reader.asked == Set(SettingTable.keys.map(\.name)))
  }

  @Test func `a flag wins over the environment, that over the file, that over the default`() throws {
    let yaml = "coordinator:\n  replicas: 2\n  chunk_size: 1 MiB\n  queue_limit: 100\n"
    let environment = ["DFS_COORDINATOR_REPLICAS": "4", "DFS_COORDINATOR_CHUNK_SIZE": "2MiB"]
    let settings = try load(yaml: yaml, environment: environment, flags: ["coordinator.replicas": "5"])
    #expect(settings.coordinator.replicas == 5)
    #expect(settings.coordinator.chunkSize.bytes == 2 << 20)
    #expect(settings.coordinator.queueLimit == 100)
    #expect(settings.coordinator.inlineLimit == .kib(4))
  }

  @Test func `every key can be set by its variable`() throws {
    for key in SettingTable.keys {
      let found = try SettingLayers(SettingSources(environment: [key.environmentName: "probe"])).find(key)
      #expect(found == FoundSetting(text: "probe", origin: key.environmentName))
    }
  }

  @Test func `the older variables are read, below the DFS names and above the file`() throws {
    let yaml = "coordinators: [h1:1, h2:2]\ndatanode:\n  listen: 127.0.0.9:9\nlog:\n  level: error\n"
    var environment = ["LOG_LEVEL": "debug", "COORDINATOR_HOST": "c", "DATANODE_PORT": "7777"]
    var settings = try load(.client, yaml: yaml, environment: environment)
    #expect(settings.log.level == "debug")
    #expect(settings.cluster.coordinators == [Endpoint(host: "c", port: 1)])
    #expect(settings.datanode.listen == Endpoint(host: "127.0.0.9", port: 7777))
    environment["COORDINATOR_HOST"] = "::1"
    environment["COORDINATOR_PORT"] = "5"
    settings = try load(.client, yaml: yaml, environment: environment)
    #expect(settings.cluster.coordinators == [Endpoint(host: "::1", port: 5)])
    #expect(settings.coordinator.listen == Endpoint(host: "::1", port: 5))
    environment["DFS_COORDINATORS"] = "a:1,b:2"
    environment["DFS_LOG_LEVEL"] = "trace"
    settings = try load(.client, yaml: yaml, environment: environment)
    #expect(settings.cluster.coordinators == [Endpoint(host: "a", port: 1), Endpoint(host: "b", port: 2)])
    #expect(settings.log.level == "trace")
  }

  @Test func `a link variable of Kubernetes is not taken for a port`() throws {
    let environment = ["COORDINATOR_PORT": "tcp://10.0.0.1:7400"]
    #expect(try load(environment: environment) == .standard)
    let report = Settings.check(for: .client, SettingSources(environment: environment))
    #expect(report.warnings.map(\.key) == ["COORDINATOR_PORT"])
  }

  @Test func `an empty variable counts as unset`() throws {
    #expect(try load(environment: ["DFS_COORDINATOR_REPLICAS": "", "LOG_LEVEL": ""]) == .standard)
  }

  @Test func `a misspelt variable is warned about with a suggestion`() {
    let sources = SettingSources(environment: ["DFS_COORDINATOR_CHUNKSIZE": "1MiB", "DFS_TEST_SEED": "1"])
    let report = Settings.check(for: .everything, sources)
    #expect(report.problems.isEmpty)
    #expect(report.warnings.count == 1)
    #expect(report.warnings.first?.reason.contains("DFS_COORDINATOR_CHUNK_SIZE") == true)
  }

  @Test func `a variable that looks like none of a section's is told of when it is near a setting's`() {
    let sources = SettingSources(
      environment: ["DFS_CORDINATORS": "a:1", "DFS_SERVICE_PORT": "1", "DFS_CONFIG": "/x", "DFS_LOG_COLOUR": "1"])
    let warnings = Settings.check(for: .client, sources).warnings
    #expect(warnings.map(\.key) == ["DFS_CORDINATORS", "DFS_LOG_COLOUR"])
    #expect(warnings[0].reason.contains("DFS_COORDINATORS") && !warnings[1].reason.contains("mean"))
  }

  @Test func `a suggestion is near, or there is none`() {
    let names = SettingTable.keys.map(\.name) + SettingTable.sections.map(\.name)
    for (written, meant) in [
      ("coordinator.replica", "coordinator.replicas"), ("coordinator.zone", "datanode.zone"),
      ("datanod", "datanode"), ("chunk_size", "coordinator.chunk_size"), ("datanodes.cache", "datanode.cache"),
      ("coordinator.foo", nil), ("coordinator.port", nil), ("frobnicate", nil),
      ("coordinator.chunksize", "coordinator.chunk_size"),
    ] as [(String, String?)] {
      #expect(nearest(to: written, among: names) == meant, "\(written)")
    }
  }

  @Test func `an address of a coordinator needs its port, in whatever role`() {
    for purpose in SettingPurpose.allCases {
      let report = Settings.check(
        for: purpose, SettingSources(file: (name: "c.yaml", text: "insecure: true\ncoordinators: [127.0.0.1]\n")))
      #expect(report.problems.map(\.key) == ["coordinators"])
      #expect(report.problems.first?.reason.contains("HOST:PORT") == true)
    }
  }

  @Test func `all problems are reported at once with key, reason and place`() {
    let yaml = """
      coordinator:
        chunk_size: 3MiB
        replica: 2
      datanod:
        data: /x
      datanode:
        zone: [a, {b: c}]
      log: loud
      """
    let found = problems(
      yaml: yaml, environment: ["DFS_CLIENT_PARALLELISM": "lots"], flags: ["transport.loops": "-1"])
    let byKey = Dictionary(grouping: found, by: \.key).mapValues { $0[0] }
    #expect(found.count == 7)
    #expect(byKey["coordinator.chunk_size"]?.origin == "c.yaml:2")
    #expect(byKey["coordinator.replica"]?.reason.contains("coordinator.replicas") == true)
    #expect(byKey["coordinator.replica"]?.origin == "c.yaml:3")
    #expect(byKey["datanod"]?.reason.contains("did you mean datanode") == true)
    #expect(byKey["datanode.zone"] != nil)
    #expect(byKey["log"]?.reason.contains("section") == true)
    #expect(byKey["client.parallelism"]?.origin == "DFS_CLIENT_PARALLELISM")
    #expect(byKey["transport.loops"]?.origin == "command line")
    let error = #expect(throws: DFSError.self) { try load(yaml: yaml) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains("coordinator.chunk_size") == true)
    #expect(error?.message.contains("datanode.zone") == true)
  }

  @Test(arguments: [
    "- a\n- b\n", "a: [", "a: b: c", "\"x", "coordinator:\n  replicas: 1\n  replicas: 2\n", "{1: 2",
  ])
  func `a file that is not a mapping of settings is one clear problem`(yaml: String) {
    let found = problems(yaml: yaml)
    #expect(!found.isEmpty)
    #expect(found.allSatisfy { $0.origin?.hasPrefix("c.yaml") == true })
  }

  @Test(arguments: ["", "\n", "# only a comment\n", "coordinator:\n", "log:\n  # level: debug\n"])
  func `an empty file or section is fine`(yaml: String) throws {
    #expect(try load(yaml: yaml) == .standard)
  }

  @Test func `a key without a value is a problem unless empty is allowed`() {
    #expect(problems(yaml: "coordinator:\n  replicas:\n").map(\.key) == ["coordinator.replicas"])
    #expect(problems(yaml: "datanode:\n  zone:\n  advertise: \"\"\n").isEmpty)
  }

  @Test func `an unknown flag is a problem`() {
    #expect(problems(flags: ["coordinator.lisen": "x"]).map(\.key) == ["coordinator.lisen"])
  }

  @Test func `random YAML never stops the process`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let pieces = [
      "coordinator", ":", " ", "\n", "  ", "- ", "[", "]", "{", "}", "&a", "*a", "!!int", "|", ">", "\"", "'",
      "#",
      "chunk_size", "8MiB", "\t", "%", "---", "...", "?", "<<", "é", "\u{0}", "log", "level",
    ]
    for _ in 0..<1000 {
      let count = Int.random(in: 0...12, using: &random)
      let text = (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
      _ = problems(yaml: text)
    }
  }
}

struct SettingSafetyTests {
  private func problems(_ purpose: SettingPurpose, _ flags: [String: String]) -> [String] {
    Settings.check(for: purpose, SettingSources(flags: flags)).problems.map(\.key)
  }

  @Test(arguments: ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1", "127.evil.org:1", "1270.0.0.1:1"])
  func `a public address without TLS is refused unless it is accepted`(address: String) {
    #expect(problems(.coordinator, ["coordinator.listen": address]) == ["coordinator.listen"])
    #expect(problems(.datanode, ["datanode.listen": address]) == ["datanode.listen"])
    #expect(problems(.coordinator, ["coordinator.listen": address, "insecure": "true"]).isEmpty)
    #expect(problems(.client, ["coordinator.listen": address]).isEmpty)
  }

  @Test(arguments: ["127.0.0.1", "127.8.9.10", "localhost", "::1"])
  func `loopback addresses are recognised`(host: String) { #expect(Endpoint(host: host, port: 1).isLoopback) }

  @Test func `TLS needs a certificate with its key, and an authority to be mutual`() throws {
    let directory = try TemporaryDirectory()
    let file = directory.path + "/x.pem"
    #expect(FileManager.default.createFile(atPath: file, contents: nil))
    #expect(problems(.coordinator, ["tls.certificate": file]) == ["tls.key"])
    #expect(problems(.coordinator, ["tls.ca": file]) == ["tls.certificate"])
    #expect(problems(.client, ["tls.ca": file]).isEmpty)
    let pair = ["tls.certificate": file, "tls.key": file, "coordinator.listen": "0.0.0.0:7400"]
    #expect(problems(.coordinator, pair).isEmpty)
    #expect(problems(.coordinator, pair.merging(["tls.mutual": "true"]) { $1 }) == ["tls.ca"])
    #expect(problems(.coordinator, ["tls.certificate": file, "tls.key": "/nowhere.pem"]) == ["tls.key"])
  }

  @Test func `times and windows that contradict each other are refused`() {
    #expect(problems(.client, ["coordinator.out_after": "10s"]) == ["coordinator.out_after"])
    #expect(problems(.client, ["coordinator.out_after": "0s"]).isEmpty)
    #expect(problems(.client, ["datanode.heartbeat_interval": "5s"]) == ["datanode.heartbeat_interval"])
    #expect(problems(.client, ["transport.connection_window": "1MiB"]) == ["transport.connection_window"])
  }
}

struct ExampleFileTests {
  private var path: String {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    return "/\(root)/cluster.example.yaml"
  }

  @Test func `the example in the repository is the table's; DFS_WRITE_EXAMPLE=1 writes it anew`() throws {
    if ProcessInfo.processInfo.environment["DFS_WRITE_EXAMPLE"] != nil {
      try Data(ExampleFile.text.utf8).write(to: URL(fileURLWithPath: path))
    }
    let file = try String(contentsOfFile: path, encoding: .utf8)
    #expect(file == ExampleFile.text)
  }

  @Test func `the example says exactly the defaults and names every key`() throws {
    let layers = SettingLayers(SettingSources(file: ("example", ExampleFile.text)))
    #expect(layers.problems.isEmpty)
    for key in SettingTable.keys {
      let found = try #require(try layers.find(key), "\(key.name)")
      #expect(try key.value(of: found.text) == key.value(of: key.standard), "\(key.name)")
    }
    #expect(ExampleFile.text.split(separator: "\n").allSatisfy { $0.count <= 130 })
  }
}
