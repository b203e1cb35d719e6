import DFSCore
import Testing

@testable import DFSConfig

struct SettingKeyTests {
  @Test func `a duration is read in every unit and written back the same`() {
    let cases: [(String, Duration)] = [
      ("500ms", .milliseconds(500)), ("10s", .seconds(10)), ("5m", .seconds(300)), ("24h", .seconds(86_400)),
      ("7d", .seconds(604_800)), ("3us", .microseconds(3)), ("1ns", .nanoseconds(1)), ("0", .zero),
    ]
    for (text, duration) in cases {
      #expect(readDuration(text) == duration)
      #expect(readDuration(write(duration)) == duration)
    }
    #expect(write(.seconds(90)) == "90s")
    #expect(write(.seconds(86_400)) == "1d")
  }

  @Test(arguments: ["", "s", "10", "-1s", "1.5s", "10 parsecs", "99999999999999999d", "1s ", "٣s"])
  func `a text that is no duration is refused`(text: String) {
    #expect(readDuration(text) == nil)
  }

  @Test func `every default is a value that its own key accepts`() throws {
    for key in SettingTable.keys {
      #expect(throws: Never.self, "\(key.name)") { try key.value(of: key.standard) }
    }
  }

  @Test func `names and variables are unique and every section is introduced`() {
    let keys = SettingTable.keys
    #expect(Set(keys.map(\.name)).count == keys.count)
    #expect(Set(keys.map(\.environmentName)).count == keys.count)
    #expect(Set(keys.compactMap(\.section)) == Set(SettingTable.sections.map(\.name)))
    #expect(
      SettingTable.key(named: "coordinator.chunk_size")?.environmentName == "DFS_COORDINATOR_CHUNK_SIZE")
    for key in keys { #expect(!key.summary.hasSuffix(".") && !key.summary.isEmpty, "\(key.name)") }
  }

  @Test(arguments: [
    ("coordinator.chunk_size", "3MiB"), ("coordinator.chunk_size", "128MiB"), ("coordinator.chunk_size", "x"),
    ("coordinator.replicas", "0"), ("coordinator.replicas", "6"), ("coordinator.replicas", "three"),
    ("coordinator.down_after", "10"), ("coordinator.down_after", "0s"), ("coordinator.listen", "a:7400x"),
    ("coordinator.listen", ""), ("insecure", "maybe"), ("log.level", "loud"), ("datanode.zone", "a b"),
    ("coordinators", "a:1,,b:2"), ("datanode.reserve", "0"), ("coordinator.data", "a\0b"),
  ])
  func `a value outside its range is refused with a reason`(name: String, text: String) throws {
    let key = try #require(SettingTable.key(named: name))
    let error = #expect(throws: DFSError.self) { try key.value(of: text) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.isEmpty == false)
  }

  @Test func `values are read with their units`() throws {
    func value(_ name: String, _ text: String) throws -> SettingValue {
      try #require(SettingTable.key(named: name)).value(of: text)
    }
    #expect(try value("coordinator.chunk_size", "1MiB") == .chunkSize(#require(ChunkSize(bytes: 1 << 20))))
    #expect(try value("datanode.receive_budget", "128 MiB") == .bytes(.mib(128)))
    #expect(try value("insecure", "Yes") == .flag(true))
    #expect(try value("log.level", "DEBUG") == .text("debug"))
    #expect(
      try value("coordinators", "a:7400, [::1]:9")
        == .endpoints([
          Endpoint(host: "a", port: 7400), Endpoint(host: "::1", port: 9),
        ]))
    #expect(try value("datanode.advertise", "") == .endpoints([]))
  }

  @Test func `the nearest name is found, a distant one is not`() {
    let names = SettingTable.keys.map(\.name)
    #expect(nearest(to: "coordinator.chunksize", among: names) == "coordinator.chunk_size")
    #expect(nearest(to: "datanode.chunk_size", among: names) == "coordinator.chunk_size")
    #expect(nearest(to: "wholly_different", among: names) == nil)
    #expect(editDistance(Array("kitten".utf8), Array("sitting".utf8)) == 3)
    #expect(editDistance([], Array("abc".utf8)) == 3)
  }
}
