import ArgumentParser

@main
struct Dfsd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "dfsd", abstract: "A distributed file system in one binary.")
}
