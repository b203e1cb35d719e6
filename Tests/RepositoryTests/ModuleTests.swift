import Testing

struct ModuleTests {
  /// Modules of the toolchain, which any file may import.
  private static let toolchain: Set<String> = [
    "Swift", "Foundation", "FoundationEssentials", "FoundationNetworking", "Glibc", "Musl", "Synchronization",
    "Dispatch",
    "Testing", "RegexBuilder",
  ]

  @Test func `every import is an arrow of Package.swift`() throws {
    let table = try ModuleTable()
    #expect(table.order.count >= 14)
    for file in try Repository.files(under: "Sources", ending: ".swift")
      + Repository.files(under: "Tests", ending: ".swift")
    {
      let module = file.module
      let allowed = Self.toolchain.union(table.uses[module] ?? []).union(table.external[module] ?? [])
      for imported in imports(of: file.text) {
        #expect(allowed.contains(imported), "\(file.path) imports \(imported), which \(module) does not name")
      }
    }
  }

  @Test func `a row of the table names only rows above it, so there is no circle`() throws {
    let table = try ModuleTable()
    for (index, module) in table.order.enumerated() {
      for used in table.uses[module] ?? [] where used.hasPrefix("DFS") {
        #expect(table.order[..<index].contains(used), "\(module) uses \(used)")
      }
    }
  }

  @Test func `a C library has one owner`() throws {
    let table = try ModuleTable()
    let owners = Dictionary(
      grouping: table.order.flatMap { module in
        (table.uses[module] ?? []).filter { !$0.hasPrefix("DFS") }.map { (library: $0, module: module) }
      }, by: \.library)
    #expect(Set(owners.keys).isSuperset(of: ["CZlib", "CISAL", "COpenSSL", "CNghttp2", "CRocksDB"]))
    for (library, modules) in owners { #expect(modules.count == 1, "\(library): \(modules.map(\.module))") }
  }

  @Test func `what must never be imported is in no row`() throws {
    let uses = try ModuleTable().uses
    let forbidden = [
      ("DFSKeyValue", ["DFSRPC", "DFSWire"]), ("DFSChunkStore", ["DFSRPC", "DFSWire"]),
      ("DFSMetadata", ["DFSRPC", "DFSWire"]),
      ("DFSCoordinator", ["DFSChunkStore", "DFSDataNode", "DFSClient"]),
      ("DFSDataNode", ["DFSMetadata", "DFSCoordinator", "DFSClient"]),
      ("DFSClient", ["DFSCoordinator", "DFSDataNode", "DFSMetadata", "DFSChunkStore"]),
      ("DFSRPC", ["DFSWire"]),
    ]
    for (module, others) in forbidden {
      #expect(Set(uses[module] ?? []).isDisjoint(with: others), "\(module) uses one of \(others)")
    }
    #expect(uses["DFSCore"] == [])
  }

  @Test func `the check itself sees every form of import`() {
    // Not one literal: this file is checked too.
    let text = [
      "import A", "package import B", "@testable import C", "@preconcurrency public import D",
      "import struct E.Thing", "  import F", "// import G", "#if canImport(H)",
    ].joined(separator: "\n")
    #expect(imports(of: text) == ["A", "B", "C", "D", "E", "F"])
  }

  private func imports(of text: String) -> [String] {
    let line =
      #/
      ^\s* (?: @\w+ (?: \([^)]*\) )? \s+ )*
      (?: (?: public|package|internal|fileprivate|private ) \s+ )? import \s+
      (?: (?: struct|class|enum|protocol|func|var|let|typealias ) \s+ )? (\w+)
    /#
    return text.split(separator: "\n").filter { $0.contains("import ") }.compactMap {
      (try? line.firstMatch(in: $0)).map { String($0.1) }
    }
  }
}
