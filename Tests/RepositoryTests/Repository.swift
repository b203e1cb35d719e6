import Foundation

/// The work tree that these tests were built from.
enum Repository {
  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  struct File {
    /// Relative to the root: `Sources/DFSCore/Digest.swift`.
    let path: String
    let text: String
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
    var name: String { String(path.split(separator: "/").last ?? "") }
    /// `DFSCore` for `Sources/DFSCore/Digest.swift`.
    var module: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
    var isGenerated: Bool { path.hasSuffix(".pb.swift") }
  }

  static func text(_ path: String) throws -> String {
    try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8)
  }

  /// Every file under `folder` with that ending, generated code included.
  static func files(under folder: String, ending: String) throws -> [File] {
    let names = try FileManager.default.subpathsOfDirectory(atPath: "\(root)/\(folder)")
    return try names.filter { $0.hasSuffix(ending) }.sorted().map {
      File(path: "\(folder)/\($0)", text: try text("\(folder)/\($0)"))
    }
  }

  /// Everything that a person of this project wrote in Swift.
  static func written() throws -> [File] {
    try (files(under: "Sources", ending: ".swift") + files(under: "Tests", ending: ".swift"))
      .filter { !$0.isGenerated }
  }
}

/// What `Package.swift` says about who may import whom, read from its table.
struct ModuleTable {
  /// Modules of this package that a module names.
  private(set) var uses: [String: [String]] = [:]
  /// Names of external modules that a module may import.
  private(set) var external: [String: Set<String>] = [:]
  /// The rows in their order, lowest first.
  private(set) var order: [String] = []

  init() throws {
    let text = try Repository.text("Package.swift")
    let products = try Self.products(in: text)
    func externals(_ packages: [String]) -> Set<String> { Set(packages.flatMap { products[$0] ?? [] }) }

    let table = try Self.part(of: text, from: "let modules:", to: "\n]\n")
    for row in table.matches(of: /\(\s*"(\w+)",\s*\[([^\]]*)\],\s*\[([^\]]*)\]\s*\)/) {
      let name = String(row.1)
      order.append(name)
      uses[name] = Self.names(in: row.2)
      external[name] = externals(Self.names(in: row.3))
    }
    let program = try Self.part(of: text, from: "rolesAndBelow, [", to: "]")
    uses["dfsd"] = order
    external["dfsd"] = externals(
      Self.names(in: program[...]).filter { products[$0] != nil })

    for module in order {
      uses["\(module)Tests"] = [module, "TestSupport"] + (uses[module] ?? [])
      external["\(module)Tests"] = external[module]
    }
    let tests = try Self.part(of: text, from: "let tests:", to: "\n  ]\n")
    for row in tests.matches(of: /\("(\w+)",\s*((?:rolesAndBelow \+ )?)\[([^\]]*)\],\s*\[([^\]]*)\]\)/) {
      let name = String(row.1)
      uses[name] = (row.2.isEmpty ? [] : order) + Self.names(in: row.3)
      external[name] = externals(Self.names(in: row.4))
    }
    uses["TestSupport"] = ["DFSCore"]
    external["TestSupport"] = []
  }

  private static func names(in text: Substring) -> [String] {
    text.matches(of: /"([^"]+)"/).map { String($0.1) }
  }

  private static func products(in text: String) throws -> [String: Set<String>] {
    let table = try part(of: text, from: "let products:", to: "\n]\n")
    var products: [String: Set<String>] = [:]
    for entry in table.matches(of: /"(\w+)":\s*\[((?:[^\[\]])*)\]/) {
      products[String(entry.1)] = Set(entry.2.matches(of: /name: "(\w+)"/).map { String($0.1) })
    }
    // A product whose modules have other names.
    products["Metrics"]?.insert("CoreMetrics")
    return products
  }

  struct Missing: Error { let what: String }

  private static func part(of text: String, from start: String, to end: String) throws -> String {
    guard let first = text.range(of: start),
      let last = text.range(of: end, range: first.upperBound..<text.endIndex)
    else { throw Missing(what: "Package.swift has no \(start) … \(end)") }
    return String(text[first.upperBound..<last.lowerBound]) + end
  }
}
