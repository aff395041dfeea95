"""What tests share: folders and models made by hand, runs, and programs that tests start."""
