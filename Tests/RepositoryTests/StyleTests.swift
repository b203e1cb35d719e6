import Testing

struct StyleTests {
  @Test func `no file is longer than 600 lines`() throws {
    for file in try Repository.written() { #expect(file.lines.count < 600, "\(file.path)") }
  }

  @Test func `no line is longer than the limit`() throws {
    for file in try Repository.written() {
      for (number, line) in file.lines.enumerated() where line.count > Self.columns {
        // A test's name is a sentence, and a sentence can not be wrapped.
        if line.contains("func `") { continue }
        Issue.record("\(file.path):\(number + 1) has \(line.count) columns")
      }
    }
  }

  private static let columns = 125

  @Test func `no function is longer than 70 lines`() throws {
    for file in try Repository.written() where file.path.hasPrefix("Sources/") {
      for (name, length) in functions(in: file.lines) {
        #expect(length <= 70, "\(file.path): \(name) has \(length) lines")
      }
    }
  }

  @Test(arguments: [
    "TODO", "FIXME", "XXX", "HACK", "try!", "fatalError(", "as!", "swiftlint", "-Ounchecked",
  ])
  func `a banned word stands nowhere in the sources`(word: String) throws {
    for file in try Repository.files(under: "Sources", ending: ".swift") where !file.isGenerated {
      #expect(!file.text.contains(word), "\(file.path) has \(word)")
    }
  }

  @Test func `random numbers come from a generator that has a size, for SystemRandom's reason`() throws {
    for file in try Repository.files(under: "Sources", ending: ".swift")
    where !file.path.hasSuffix("/SystemRandom.swift") {
      #expect(!file.text.contains("SystemRandomNumberGenerator"), "\(file.path)")
    }
  }

  @Test func `no type is named after nothing`() throws {
    let vague =
      #/
      \b (?: class|struct|enum|actor|protocol|typealias ) \s+
      ( \w* (?: Manager|Helpers?|Utils?|Utilities|Impl ) | Handler | Common | Base | Misc ) \b
    /#
    let declaring = ["class ", "struct ", "enum ", "actor ", "protocol ", "typealias "]
    for file in try Repository.written() {
      for line in file.lines where declaring.contains(where: line.contains) {
        if let match = line.firstMatch(of: vague) { Issue.record("\(file.path) names a type \(match.1)") }
      }
    }
  }

  @Test func `no folder is named after nothing`() throws {
    let vague: Set<Substring> = ["Common", "Utils", "Util", "Helpers", "Shared", "Misc", "Manager", "Base"]
    for file in try Repository.written() {
      #expect(vague.isDisjoint(with: file.path.split(separator: "/")), "\(file.path)")
    }
  }

  @Test func `what the compiler can not check says why it is safe`() throws {
    for file in try Repository.written() where file.path.hasPrefix("Sources/") {
      for (number, line) in file.lines.enumerated() {
        guard line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)") else { continue }
        let around = file.lines[max(0, number - 12)...min(file.lines.count - 1, number + 40)]
        #expect(
          around.contains { $0.contains("SAFETY:") }, "\(file.path):\(number + 1) has no // SAFETY: beside it"
        )
      }
    }
  }

  @Test func `every metric stands in the list of metrics`() throws {
    let known = try Repository.text("Sources/DFSObservability/MetricNames.swift")
    for file in try Repository.files(under: "Sources", ending: ".swift") where file.text.contains("\"dfs_") {
      for match in file.text.matches(of: /"(dfs_[a-z0-9_]+)"/) {
        #expect(known.contains("\"\(match.1)\""), "\(file.path): \(match.1) is not in MetricNames.swift")
      }
    }
  }

  @Test func `a listed metric is recorded somewhere`() throws {
    let list = try Repository.text("Sources/DFSObservability/MetricNames.swift")
    let sources = try Repository.files(under: "Sources", ending: ".swift").filter {
      $0.name != "MetricNames.swift"
    }
    for match in list.matches(of: /static let (\w+) = "(dfs_\w+)"/) {
      let used = sources.contains {
        $0.text.contains("MetricNames.\(match.1)") || $0.text.contains("\"\(match.2)\"")
      }
      #expect(used, "\(match.2) is listed and never recorded")
    }
  }

  /// Names and lengths of functions and initializers: from their first line to the brace at its indentation.
  private func functions(in lines: [Substring]) -> [(name: String, length: Int)] {
    var found: [(name: String, length: Int)] = []
    for (start, line) in lines.enumerated() {
      guard line.contains("func ") || line.contains("init") else { continue }
      guard let match = line.firstMatch(of: /^(\s*)(?:[\w@()]+\s+)*(func\s+[^\s(<]+|init[?(<])/) else {
        continue
      }
      guard let open = bodyStart(of: start, in: lines) else { continue }
      guard let end = lines[open...].dropFirst().firstIndex(where: { $0 == "\(match.1)}" }) else { continue }
      found.append((String(match.2), end - start + 1))
    }
    return found
  }

  /// The line that opens the body; `nil` for a requirement of a protocol and for a function of one line.
  private func bodyStart(of start: Int, in lines: [Substring]) -> Int? {
    let depth = lines[start].prefix { $0 == " " }.count
    for index in start..<min(lines.count, start + 20) {
      let line = lines[index]
      if line.hasSuffix("{") { return index }
      if line.hasSuffix("}") { return nil }
      let indentation = line.prefix { $0 == " " }.count
      if index > start, indentation <= depth, !line.dropFirst(indentation).hasPrefix(")") { return nil }
    }
    return nil
  }
}
