import Foundation
import TestSupport
import Testing

struct LayoutTests {
  @Test func `the top level is the agreed one`() throws {
    let allowed: Set<String> = [
      "Package.swift", "Sources", "Tests", "Scripts", "cluster.example.yaml", "Dockerfile", "LICENSE",
      "README.md",
    ]
    let found = try FileManager.default.contentsOfDirectory(atPath: Repository.root)
      // What the package manager and `dfsd up` leave here is ignored by git, too.
      .filter { !$0.hasPrefix(".") && $0 != "Package.resolved" && $0 != "dfs-data" }
    #expect(Set(found) == allowed)
  }

  private func scripts() throws -> [String] {
    let names = try FileManager.default.contentsOfDirectory(atPath: "\(Repository.root)/Scripts")
    return names.filter { !$0.contains(".") && $0 != "systemd" }.sorted().map { "Scripts/\($0)" } + [
      ".ci/run"
    ]
  }

  @Test func `every script is there, is executable, stops at the first error and parses`() async throws {
    let scripts = try scripts()
    for name in ["setup", "test", "quickstart", "dev-cluster", "chaos", "generate-protos"] {
      #expect(scripts.contains("Scripts/\(name)"))
    }
    for script in scripts {
      let text = try Repository.text(script)
      #expect(text.hasPrefix("#!/usr/bin/env bash\n"), "\(script)")
      #expect(text.contains("\nset -euo pipefail\n"), "\(script)")
      #expect(FileManager.default.isExecutableFile(atPath: "\(Repository.root)/\(script)"), "\(script)")
      let run = try await ProgramRun.run("/bin/bash", ["-n", "\(Repository.root)/\(script)"])
      #expect(run.status == 0, "\(script): \(run.errors)")
    }
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/shellcheck")))
  func `shellcheck finds nothing in the scripts`() async throws {
    let paths = try scripts().map { "\(Repository.root)/\($0)" }
    let run = try await ProgramRun.run("/usr/bin/shellcheck", paths)
    #expect(run.status == 0, "\(run.output)")
  }

  @Test(arguments: ["setup", "test", "quickstart", "dev-cluster", "chaos"])
  func `a script explains itself`(name: String) async throws {
    let run = try await ProgramRun.run("\(Repository.root)/Scripts/\(name)", ["--help"])
    #expect(run.status == 0 && run.output.hasPrefix(name), "\(run.output)\(run.errors)")
  }

  @Test func `the README's commands exist`() throws {
    let readme = try Repository.text("README.md")
    let named = Set(readme.matches(of: /\bScripts\/[\w.\/-]+\w/).map { String($0.0) })
    #expect(named.isSuperset(of: ["Scripts/quickstart", "Scripts/test"]))
    for path in named {
      #expect(FileManager.default.fileExists(atPath: "\(Repository.root)/\(path)"), "\(path)")
    }
    for match in readme.matches(of: /\]\(([\w.\/-]+)\)/) {
      let path = "\(Repository.root)/\(match.1)"
      #expect(FileManager.default.fileExists(atPath: path), "the README links to \(match.1)")
    }
  }

  @Test func `every command that is written down exists`() throws {
    let commands =
      try Repository.files(under: "Sources/dfsd/Commands", ending: ".swift")
      + Repository.files(under: "Sources/dfsd/Admin", ending: ".swift")
      + Repository.files(under: "Sources/dfsd/Bench", ending: ".swift")
      + Repository.files(under: "Sources/dfsd/Admin", ending: ".swift")
    let names = Set(
      commands.flatMap { $0.text.matches(of: /commandName: "([a-z-]+)"/).map { String($0.1) } })
    #expect(names.isSuperset(of: ["up", "put", "get", "status"]))
    var texts = try Repository.files(under: "Sources/dfsd/Documentation.docc", ending: ".md")
    texts += try ["README.md", "Scripts/quickstart", "Scripts/compose.yaml", "Dockerfile"].map {
      Repository.File(path: $0, text: try Repository.text($0))
    }
    for text in texts {
      for match in text.text.matches(of: /(?:`|\n\s*|\$ |\/)dfsd ([a-z][a-z-]*)\b/) {
        let place = text.path
        #expect(names.contains(String(match.1)), "\(place) names dfsd \(match.1)")
      }
    }
  }

  @Test func `no line of a help text is wider than a terminal, where it would be broken`() throws {
    let sources = try Repository.files(under: "Sources/dfsd", ending: ".swift")
    var count = 0
    for file in sources {
      for match in file.text.matches(of: /discussion: """\n((?s:.*?))\n +"""/) {
        count += 1
        let lines = match.1.split(separator: "\n")
        let indent = lines.map { $0.prefix { $0 == " " }.count }.min() ?? 0
        for line in lines {
          // An interpolated value is a number of two digits.
          let shown = line.dropFirst(indent).replacing(/\\\([^)]*\)/, with: "99")
          #expect(shown.count <= 80, "\(file.path): \(shown)")
        }
      }
    }
    #expect(count > 20)
  }

  @Test func `the library's documented example is the one that a test runs`() throws {
    func code(_ text: some StringProtocol) -> [String] {
      text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }
    let source = try Repository.text("Sources/DFSClient/API/DFSClient.swift")
    let example = try #require(source.firstMatch(of: /\/\/\/ ```swift\n((?s:.*?))\/\/\/ ```\n/)).1
    let documented = code(example.replacing("///", with: ""))
    // The test has files of its own, and keeps the names instead of printing them.
    let test = Set(
      code(try Repository.text("Tests/ClusterTests/LibraryTests.swift")).map {
        $0.replacing("file: cat,", with: "file: \"cat.jpg\",").replacing(
          "to: copy)", with: "to: \"copy.jpg\")"
        )
        .replacing("Endpoint(address)", with: "Endpoint(\"127.0.0.1:7400\")")
        .replacing("names.append(entry.path)", with: "print(entry.path, entry.attributes.length)")
      })
    #expect(documented.count > 8)
    for line in documented { #expect(test.contains(line), "no test runs: \(line)") }
  }

  @Test func `the exit statuses are written down as they are`() throws {
    let table = try Repository.text("Sources/dfsd/Documentation.docc/Operations.md")
    let source = try Repository.text("Sources/dfsd/ExitStatus.swift")
    let statuses = source.matches(of: /\n  case \w+ = (\d+)/).map { String($0.1) }
    #expect(statuses.count > 10)
    for status in statuses { #expect(table.contains("\n| \(status) | "), "\(status)") }
  }

  @Test func `CI runs what the README names`() throws {
    let run = try Repository.text(".ci/run")
    #expect(run.contains("\nScripts/setup\n") && run.contains("\nScripts/test\n"))
  }

  @Test func `generated code has its proto beside it`() throws {
    for module in ["DFSWire", "DFSRPC"] {
      let protos = Set(
        try Repository.files(under: "Sources/\(module)/Protos", ending: ".proto").map { file in
          String(file.path.dropFirst("Sources/\(module)/Protos/".count))
        })
      let generated = try Repository.files(under: "Sources/\(module)/Generated", ending: ".pb.swift")
      let sources = Set(
        generated.compactMap { $0.text.firstMatch(of: /\n\/\/ Source: (\S+)\n/).map { String($0.1) } })
      #expect(!sources.isEmpty && sources.isSubset(of: protos))
    }
  }

  @Test(
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze")),
    arguments: ["dfsd-coordinator.service", "dfsd-datanode@.service"])
  func `systemd accepts the unit`(name: String) async throws {
    // The unit is checked as it is, but for the program, which need not be installed here.
    let directory = try TemporaryDirectory("dfs-units")
    let text = try Repository.text("Scripts/systemd/\(name)")
    #expect(text.contains("ExecStart=/usr/bin/dfsd "))
    let path = "\(directory.path)/\(name)"
    try text.replacingOccurrences(of: "/usr/bin/dfsd", with: "/bin/true")
      .write(toFile: path, atomically: true, encoding: .utf8)
    let run = try await ProgramRun.run(
      "/usr/bin/systemd-analyze", ["verify", "--recursive-errors=yes", path])
    #expect(run.status == 0 && run.errors.isEmpty && run.output.isEmpty, "\(run.output)\(run.errors)")
  }

  @Test(arguments: ["dfsd-coordinator.service", "dfsd-datanode@.service"])
  func `a unit is hardened, watched and restarted`(name: String) throws {
    let text = try Repository.text("Scripts/systemd/\(name)")
    let needed = [
      "Type=notify", "WatchdogSec=", "Restart=always", "User=dfs", "ProtectSystem=strict",
      "NoNewPrivileges=yes",
      "CapabilityBoundingSet=\n", "MemoryMax=", "LimitNOFILE=", "TasksMax=", "StateDirectory=dfs/",
    ]
    for line in needed { #expect(text.contains("\n\(line)"), "\(line)") }
  }

  @Test func `every setting is handed to somebody`() throws {
    let declared = try Repository.text("Sources/DFSConfig/Settings.swift")
    // The groups of settings, and the one that is used where settings are checked.
    let passed: Set<Substring> = ["cluster", "coordinator", "datanode", "client", "log", "insecure"]
    let program = try Repository.files(under: "Sources/dfsd", ending: ".swift").map(\.text).joined()
    let names = Set(declared.matches(of: /package\svar\s(\w+):\s/).map(\.1)).subtracting(passed)
    #expect(names.count > 40)
    for name in names.sorted() {
      let use = try Regex("\\.\(name)\\b")
      #expect(program.contains(use), "the setting \(name) is read and never used")
    }
  }

  @Test func `the compose file and the image use settings that exist`() throws {
    let example = try Repository.text("cluster.example.yaml")
    let text = try Repository.text("Scripts/compose.yaml") + Repository.text("Dockerfile")
    for match in text.matches(of: /DFS_([A-Z]+)_([A-Z_]+):/) {
      let (section, key) = (match.1.lowercased(), match.2.lowercased())
      #expect(
        example.contains("\n\(section):\n") && example.contains("\n  \(key): "), "DFS_\(match.1)_\(match.2)")
    }
    #expect(text.matches(of: /\n  datanode-\d:\n    <<:/).count == 6)
  }
}
